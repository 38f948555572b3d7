"""`changefeed token`: a token to try things out with. Production tokens come from whoever signs users in."""

import time
from typing import Any

import jwt

from ..errors import ConfigurationError
from ..settings import Settings

LONGEST_HOURS = 24 * 36525


def issued_token(settings: Settings, sub: str, *, admin: bool, hours: float, claims: list[str]) -> str:
    """Signed with the HS256 secret of the settings. Raises ConfigurationError where there is none."""
    if settings.jwt_secret is None:
        raise ConfigurationError("CHANGEFEED_JWT_SECRET is not set, and a token needs a secret to be signed with.")
    if not abs(hours) < LONGEST_HOURS:
        raise ConfigurationError(f"--hours {hours}: choose less than {LONGEST_HOURS}, which is a century.")
    now = int(time.time())
    content: dict[str, Any] = {"sub": sub, "iat": now, "exp": now + round(hours * 3600)}
    if settings.jwt_audience:
        content["aud"] = sorted(settings.jwt_audience)
    if settings.jwt_issuer:
        content["iss"] = settings.jwt_issuer
    if admin:
        _put(content, settings.admin_claim, min(settings.admin_values))
    for claim in claims:
        name, separator, value = claim.partition("=")
        if not separator or not name:
            raise ConfigurationError(f"--claim {claim}: write it as name=value.")
        _put(content, name, value)
    return jwt.encode(content, settings.jwt_secret.get_secret_value(), "HS256")


def _put(content: dict[str, Any], path: str, value: str) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        content = content.setdefault(parent, {})
        if not isinstance(content, dict):
            raise ConfigurationError(f"{path} leads through {parent}, which is a value already.")
    content[name] = value
