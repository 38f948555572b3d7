"""The keys that tokens are checked with. What a key is, the service knows: it is asked where it is installed."""

import importlib
import importlib.util
from collections.abc import Sequence

from ..serving import service_package
from .finding import Finding, Patient, warning


async def keys(patient: Patient) -> Sequence[Finding]:
    """Whether anybody could be let in."""
    settings = patient.settings
    if not (settings.jwt_secret or settings.jwt_public_key or settings.jwt_jwks_url):
        return [
            warning(
                "tokens",
                "there is no key to check tokens with: nobody is let in, unless an application that has the router says who asks",
                "set CHANGEFEED_JWT_SECRET, CHANGEFEED_JWT_PUBLIC_KEY or CHANGEFEED_JWT_JWKS_URL; see docs/authentication.md",
            )
        ]
    name = f"{service_package()}.checkup"
    if importlib.util.find_spec(service_package()) is None:
        return [
            warning(
                "tokens",
                "the service is not installed here, so its keys could not be tried",
                "ask doctor where it runs",
            )
        ]
    found: Sequence[Finding] = await importlib.import_module(name).keys(settings)
    return found
