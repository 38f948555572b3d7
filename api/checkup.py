"""What `changefeed doctor` asks the service: could the keys of these settings check any token?"""

from collections.abc import Sequence
from urllib.parse import urlsplit

from changefeed.commands.doctor import Finding
from changefeed.errors import ConfigurationError
from changefeed.settings import Settings

from .origins import Origins
from .tokens import TokenVerifier

LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


async def keys(settings: Settings) -> Sequence[Finding]:
    """One finding where they could; otherwise what stands against it."""
    found: list[Finding] = []
    try:
        Origins(settings.allowed_origins)
    except ConfigurationError as error:
        found.append(Finding("origins", "problem", str(error), "mend CHANGEFEED_ALLOWED_ORIGINS"))
    try:
        verifier = TokenVerifier(settings)
    except ConfigurationError as error:
        return [*found, Finding("tokens", "problem", str(error), "mend that setting; see docs/authentication.md")]
    url = settings.jwt_jwks_url
    if url is None:
        return found or [Finding("tokens", "ok", "the key in the settings can check tokens")]
    if not await verifier.prepare():
        sentence = f"no keys could be fetched from {urlsplit(url).hostname}: nobody is let in"
        remedy = "is CHANGEFEED_JWT_JWKS_URL right, and can this machine reach it? The log has the reason"
        return [*found, Finding("tokens", "problem", sentence, remedy)]
    if not verifier.usable:
        sentence = f"{urlsplit(url).hostname} publishes no key that checks signatures: nobody is let in"
        remedy = "where tokens are signed with a secret, set CHANGEFEED_JWT_SECRET instead"
        return [*found, Finding("tokens", "problem", sentence, remedy)]
    if urlsplit(url).scheme == "http" and urlsplit(url).hostname not in LOCAL:
        sentence = "the keys are fetched without TLS: whoever is in between can put in his own"
        found.append(
            Finding("tokens", "warning", sentence, "use https, unless the provider is inside the same cluster")
        )
    if settings.jwt_audience is None:
        sentence = "no audience is set: tokens that the provider issued for other applications are accepted too"
        found.append(Finding("tokens", "warning", sentence, "set CHANGEFEED_JWT_AUDIENCE"))
    return found or [Finding("tokens", "ok", "the provider's keys can be fetched, and can check tokens")]
