"""Who somebody is: what the claims of a verified token come to.

Guarantees: owners and role come from the claims that the settings name, never from what users write
themselves (`user_metadata`: the settings refuse it). A claim that is absent, null, empty, or of a kind that names nobody
matches nothing, and never everything. Whoever has neither an owner nor a role is let in, and sees nothing.
Pure. Assumes claims whose signature and times were checked.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from changefeed.errors import AuthenticationError
from changefeed.event import Owner
from changefeed.settings import Settings

LATEST = 253402300799.0
"""The last second of the year 9999: what comes after it cannot be written as a date, and is told as this."""
_EXACT = 1 << 53
"""From here on a float is not the number that was written, and might be somebody else's id."""

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
"""What JSON can say and Postgres cannot hold: NUL, and halves of surrogate pairs."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody whose token was accepted."""

    user_id: str
    """The token's `sub`."""
    owners: frozenset[Owner]
    """Whose rows he sees."""
    admin: bool
    """Whether he sees the admin topics; never other owners' rows."""
    expires_at: float | None
    """Unix seconds. None: never, which only a host's own `authenticate` can say."""
    issued_at: float | None = None
    """Unix seconds: what a kick is compared with."""
    token_id: str | None = None
    """The token's `jti`."""


def identity_of(claims: Mapping[str, Any], settings: Settings) -> Identity:
    """The identity that verified claims come to. Raises AuthenticationError."""
    subject = claims.get("sub")
    user_id = _text(subject) if isinstance(subject, str) else None
    if user_id is None:
        raise AuthenticationError(
            "token-subject",
            "The token names no user: its sub must be a text. Sign in as a user; an API key is nobody.",
        )
    roles = set(_texts(find(claims, settings.admin_claim), booleans=True))
    token_id = claims.get("jti")
    return Identity(
        user_id=user_id,
        owners=frozenset(
            Owner(kind, value) for path, kind in settings.owner_claims.items() for value in _texts(find(claims, path))
        ),
        admin=not roles.isdisjoint(settings.admin_values),
        expires_at=_seconds(claims, "exp"),
        issued_at=_seconds(claims, "iat"),
        token_id=token_id if isinstance(token_id, str) else None,
    )


def find(claims: Mapping[str, Any], path: str) -> Any:
    """The claim of this name, or what the path leads to; None where there is none.

    A dot may also be part of a name, as in `https://example.com/claims.org`.
    """
    if path in claims:
        return claims[path]
    for place, letter in enumerate(path):
        inner = claims.get(path[:place]) if letter == "." else None
        if isinstance(inner, Mapping) and (found := find(inner, path[place + 1 :])) is not None:
            return found
    return None


def _texts(claim: Any, *, booleans: bool = False) -> Iterator[str]:
    """A claim's values as the database writes them: one, or those of a list."""
    for value in claim if isinstance(claim, list) else [claim]:
        if isinstance(value, bool):
            text = str(value).lower() if booleans else None
        elif isinstance(value, float):
            text = _number(value)
        else:
            text = _text(str(value)) if isinstance(value, str | int) else None
        if text is not None:
            yield text


def _number(value: float) -> str | None:
    if not math.isfinite(value) or abs(value) >= _EXACT:
        return None
    return str(int(value)) if value.is_integer() else repr(value)


def _text(value: str) -> str | None:
    """None for what names nobody."""
    return None if not value.strip() or _UNSTORABLE.search(value) else value


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= -LATEST:
        raise AuthenticationError(
            "token-malformed",
            f"The token's {name} is not a time in seconds. Have it issued with a number there.",
        )
    return float(min(value, LATEST))
