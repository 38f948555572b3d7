"""From a token to an identity.

Guarantees: `verify` returns an identity or raises AuthenticationError, whatever it is given. The key decides which
algorithms are allowed, never the token: `none` is refused, and so is an HMAC made with a public key. `exp` and
`sub` are required; `aud` and `iss` are checked where the settings name them, and otherwise not looked at. Nothing of a
token is in any message. Verification is a matter of 0.1 ms and done in place; only an unknown key is waited for.
"""

from typing import Any

import jwt
from jwt.exceptions import InvalidSubjectError

from changefeed.errors import AuthenticationCode, AuthenticationError, ConfigurationError
from changefeed.settings import Settings

from .identity import Identity, identity_of
from .keys import FixedKey, Keys, KeySet
from .revocations import Revocations

MAX_LENGTH = 16384
"""Of a token: twice what most servers let a header have."""

_TEXTS: dict[AuthenticationCode, str] = {
    "token-missing": "A token is missing. Send one in the Authorization header, or in another of the ways.",
    "token-too-large": f"The token is longer than {MAX_LENGTH} characters. Have it issued with fewer claims.",
    "token-malformed": "This is no token. Send a JWT as it was issued, with nothing around it.",
    "token-algorithm": "The token is signed with an algorithm that the configured key is not for. "
    "Have it issued for that key, or configure another.",
    "token-key": "The token is not signed with the configured key. Sign in again; if that does not help, "
    "the key in the settings is not the issuer's.",
    "token-expired": "The token has expired. Get a new one.",
    "token-not-yet-valid": "The token is not valid yet. Set the clocks right, or CHANGEFEED_JWT_LEEWAY to "
    "what they differ by.",
    "token-audience": "The token is for somebody else. Have it issued for CHANGEFEED_JWT_AUDIENCE.",
    "token-issuer": "The token is from somebody else. Have it issued by CHANGEFEED_JWT_ISSUER.",
    "token-subject": "The token names no user: its sub must be a text. Sign in as a user; an API key is nobody.",
}
_CODES: dict[type[jwt.PyJWTError], AuthenticationCode] = {
    jwt.InvalidAlgorithmError: "token-algorithm",
    jwt.InvalidSignatureError: "token-key",
    jwt.InvalidKeyError: "token-key",
    jwt.ExpiredSignatureError: "token-expired",
    jwt.ImmatureSignatureError: "token-not-yet-valid",
    jwt.InvalidAudienceError: "token-audience",
    jwt.InvalidIssuerError: "token-issuer",
    InvalidSubjectError: "token-subject",
}
_CODES_OF_MISSING: dict[str, AuthenticationCode] = {
    "sub": "token-subject",
    "aud": "token-audience",
    "iss": "token-issuer",
}


class TokenVerifier:
    """Checks tokens as the settings say."""

    def __init__(self, settings: Settings, revocations: Revocations | None = None, keys: Keys | None = None) -> None:
        """`keys`: other ones than the settings name. Raises ConfigurationError where they name none that works."""
        self._settings = settings
        self._revocations = revocations or Revocations()
        self._keys = keys or _keys_of(settings)

    async def prepare(self) -> bool:
        """Fetch what keys can be fetched beforehand, so that the first client need not wait; whether that worked."""
        return await self._keys.refresh()

    @property
    def usable(self) -> bool:
        """Whether there is a key by now."""
        return self._keys.usable

    @property
    def aging(self) -> bool:
        """Whether the keys should be fetched, though no token has asked for it."""
        return self._keys.aging

    async def verify(self, token: str) -> Identity:
        """Whose token it is. Raises AuthenticationError."""
        identity = identity_of(await self._claims(token), self._settings)
        self._revocations.check(identity)
        return identity

    async def _claims(self, token: str) -> dict[str, Any]:
        if not token:
            raise _refusal("token-missing")
        if len(token) > MAX_LENGTH:
            raise _refusal("token-too-large")
        try:
            header = jwt.get_unverified_header(token)
            algorithm, kid = header.get("alg"), header.get("kid")
            if not isinstance(algorithm, str) or algorithm not in self._keys.algorithms:
                raise _refusal("token-algorithm")
            key = await self._keys.find(kid, algorithm)
            return jwt.decode(
                token,
                key.value,
                algorithms=key.algorithms,
                audience=self._settings.jwt_audience,
                issuer=self._settings.jwt_issuer,
                leeway=self._settings.jwt_leeway,
                options={
                    "require": ["exp", "sub"],
                    # PyJWT would refuse every token with an aud, which is most of them, where none is configured.
                    "verify_aud": self._settings.jwt_audience is not None,
                    "verify_jti": False,  # some issuers number them
                    "enforce_minimum_key_length": True,
                },
            )
        except jwt.MissingRequiredClaimError as error:
            if error.claim == "exp":
                raise AuthenticationError(
                    "token-malformed", "The token would never expire. Have it issued with an exp."
                ) from None
            raise _refusal(_CODES_OF_MISSING[error.claim]) from None
        except jwt.PyJWTError as error:
            raise _refusal(_CODES.get(type(error), "token-malformed")) from None
        # What PyJWT lets through from below; it has had several of these, and wraps them as they are found.
        except (ValueError, TypeError, OverflowError, RecursionError):
            raise _refusal("token-malformed") from None


def _refusal(code: AuthenticationCode) -> AuthenticationError:
    return AuthenticationError(code, _TEXTS[code])


def _keys_of(settings: Settings) -> Keys:
    if settings.jwt_secret is not None:
        return FixedKey.secret(settings.jwt_secret.get_secret_value())
    if settings.jwt_public_key is not None:
        return FixedKey.pem(settings.jwt_public_key)
    if settings.jwt_jwks_url is not None:
        return KeySet(settings.jwt_jwks_url)
    raise ConfigurationError(
        "There is no key to check tokens with. Set CHANGEFEED_JWT_SECRET, CHANGEFEED_JWT_PUBLIC_KEY or "
        "CHANGEFEED_JWT_JWKS_URL; docs/authentication.md says which."
    )
