"""The keys that tokens are checked with: a secret, a public key, or what a provider publishes (JWKS).

Guarantees: the kind of key alone says which algorithms it checks, so that a token can never choose. A published
key set is fetched in a thread, by one request at a time however many tokens wait for it, and a few times a
minute at most, so that forged key ids cannot make us hammer the provider. While the provider is silent or talks
nonsense, the keys that it published last are good for STALE seconds; a key that it has withdrawn is gone.
Follows no redirect and reads no other scheme than http and https. Never names a key or a token.
"""

import asyncio
import http.client
import json
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm

from changefeed.errors import AuthenticationError, ConfigurationError

from .allowance import Allowance

FRESH = 300.0
"""Seconds after which the key set is asked for again."""
STALE = 3600.0
"""Seconds for which it is used where the provider does not answer: about what a token lives."""
REQUESTS_PER_MINUTE = 6
"""All of which may come at once, so that keys that change twice in a moment are still found at once."""
TIMEOUT = 3.0
"""Seconds for a request: less than a client has to authenticate."""
MAX_BYTES = 1 << 18
"""The largest key set that is read."""
MIN_RSA_BITS = 2048
SECRET_ALGORITHMS = ("HS256",)
RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
CURVE_ALGORITHMS = {"secp256r1": ("ES256",), "secp384r1": ("ES384",), "secp521r1": ("ES512",)}
EDWARDS_ALGORITHMS = ("EdDSA",)
PUBLIC_ALGORITHMS = frozenset((*RSA_ALGORITHMS, *EDWARDS_ALGORITHMS, "ES256", "ES384", "ES512"))

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

logger = logging.getLogger("changefeed.keys")


@dataclass(frozen=True, slots=True)
class Key:
    """A key, and the algorithms that it checks."""

    value: PublicKey | bytes
    algorithms: tuple[str, ...]
    kid: str | None = None


class Keys(Protocol):
    """Where a token's key comes from."""

    algorithms: frozenset[str]
    """Everything that a key from here may check: other tokens are refused without looking for a key."""

    @property
    def usable(self) -> bool:
        """Whether there is a key by now."""

    @property
    def aging(self) -> bool:
        """Whether it is time to refresh, though no token has asked for it."""

    async def find(self, kid: str | None, algorithm: str) -> Key:
        """The key for a token with this header. Raises AuthenticationError."""

    async def refresh(self) -> bool:
        """Fetch what there is to fetch; whether that worked."""


class FixedKey:
    """One key from the settings, whatever the token's `kid`."""

    usable, aging = True, False

    def __init__(self, key: Key) -> None:
        self._key = key
        self.algorithms = frozenset(key.algorithms)

    @classmethod
    def secret(cls, secret: str) -> "FixedKey":
        """An HS256 secret. Raises ConfigurationError where it is a public key, which is no secret."""
        value = secret.encode()
        try:
            HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(value)
        except jwt.InvalidKeyError as error:
            raise ConfigurationError(
                "CHANGEFEED_JWT_SECRET is a key that others may know. Use a secret: openssl rand -hex 32"
            ) from error
        return cls(Key(value, SECRET_ALGORITHMS))

    @classmethod
    def pem(cls, text: str) -> "FixedKey":
        """A public key. Raises ConfigurationError where it is none, or one that nobody should trust."""
        try:
            key = load_pem_public_key(text.encode())
        except (ValueError, UnsupportedAlgorithm) as error:
            raise ConfigurationError(
                "CHANGEFEED_JWT_PUBLIC_KEY cannot be read. Give the whole PEM text, line breaks as they are or as \\n."
            ) from error
        found = _public_key(key)
        if found is None:
            raise ConfigurationError(
                "CHANGEFEED_JWT_PUBLIC_KEY is of a kind that is not used here. Use RSA of 2048 bits or more, "
                "ECDSA on P-256, P-384 or P-521, or Ed25519."
            )
        return cls(found)

    async def find(self, kid: str | None, algorithm: str) -> Key:  # noqa: ARG002
        """The one key."""
        return self._key

    async def refresh(self) -> bool:
        """There is nothing to fetch."""
        return True


class KeySet:
    """The keys that a provider publishes at a URL."""

    algorithms = PUBLIC_ALGORITHMS

    def __init__(self, url: str, *, timeout: float = TIMEOUT, clock: Callable[[], float] = time.monotonic) -> None:
        """Fetches nothing yet. `clock`: seconds, of a clock that does not go back."""
        self._url = url
        self._timeout = timeout
        self._clock = clock
        self._keys: tuple[Key, ...] = ()
        self._fetched_at = float("-inf")
        self._allowance = Allowance(REQUESTS_PER_MINUTE, clock())
        self._request: asyncio.Task[bool] | None = None

    @property
    def usable(self) -> bool:
        """Whether the provider has published one, and not too long ago."""
        return bool(self._keys) and self._age() < STALE

    @property
    def aging(self) -> bool:
        """Long before they are no longer usable: otherwise whoever has had no visitor for an hour would not be ready."""
        return not self._keys or self._age() > STALE / 2

    async def find(self, kid: str | None, algorithm: str) -> Key:
        """The key of this id; without an id, the only one that checks this algorithm. Raises AuthenticationError."""
        if self._age() < FRESH and (key := self._known(kid, algorithm)):
            return key
        looked = await self.refresh()
        if self._age() < STALE and (key := self._known(kid, algorithm)):
            return key
        if not looked:
            # Unknown, or not published when we asked last: saying that the token is bad would be a guess.
            raise AuthenticationError(
                "keys-unavailable",
                "The key that the token is checked with cannot be had at the moment. Try again in some seconds.",
            )
        raise AuthenticationError(
            "token-key",
            "The token is signed with a key that its provider does not publish, or does not say with which. "
            "Sign in again; if that does not help, CHANGEFEED_JWT_JWKS_URL is another provider's.",
        )

    async def refresh(self) -> bool:
        """Ask the provider, unless it was asked too often. Whether a request that began here has succeeded."""
        if request := self._request:
            await asyncio.shield(request)
            return False
        if not self._allowance.spend(self._clock()):
            return False
        self._request = asyncio.create_task(self._ask())
        # The first client to ask may go away: it takes nobody else's request with it.
        return await asyncio.shield(self._request)

    def _age(self) -> float:
        return self._clock() - self._fetched_at

    def _known(self, kid: str | None, algorithm: str) -> Key | None:
        named = [key for key in self._keys if kid in (None, key.kid)]
        fit = [key for key in named if algorithm in key.algorithms]
        if kid is None:
            return fit[0] if len(fit) == 1 else None
        if named and not fit:
            raise AuthenticationError(
                "token-algorithm",
                "The token is signed with an algorithm that its key is not for. Have the provider issue it.",
            )
        return fit[0] if fit else None

    async def _ask(self) -> bool:
        host = urlsplit(self._url).hostname
        try:
            async with asyncio.timeout(self._timeout):
                document = await asyncio.to_thread(_fetch, self._url, self._timeout)
            self._keys = tuple(_published(document))
        except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
            logger.warning("no key set from %s: %s", host, str(error) or "it took too long")
            return False
        else:
            self._fetched_at = self._clock()
            if not self._keys:
                logger.warning(
                    "the key set of %s has no key that checks signatures. Where tokens are signed with a "
                    "secret (a Supabase project without signing keys), set CHANGEFEED_JWT_SECRET instead",
                    host,
                )
            return True
        finally:
            self._request = None


def _fetch(url: str, timeout: float) -> Any:
    """The JSON document at a URL. Blocks. Raises OSError, http.client.HTTPException, ValueError, RecursionError."""
    # Put together by hand: the ready-made opener also follows redirects, and reads file: and ftp:.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    request = urllib.request.Request(url, headers={"Accept": "application/json", "User-Agent": "changefeed"})
    until = time.monotonic() + timeout
    body = bytearray()
    try:
        with opener.open(request, timeout=timeout) as response:
            # The timeout is one of each read: a drip of bytes would keep the thread for ever.
            while piece := response.read1(1 << 16):
                body += piece
                if len(body) > MAX_BYTES:
                    raise ValueError(f"it is larger than {MAX_BYTES} bytes")
                if time.monotonic() > until:
                    raise TimeoutError("it took too long")
    except urllib.error.HTTPError as error:
        error.close()
        raise
    return json.loads(body)


def _published(document: Any) -> Iterator[Key]:
    """The keys of a JWKS that check signatures; what is no such key is passed over. Raises ValueError."""
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        raise ValueError('it is no key set, an object with a list of "keys"')  # noqa: TRY004
    for jwk in keys:
        key = _from_jwk(jwk) if isinstance(jwk, dict) else None
        if key is not None:
            yield key


def _from_jwk(jwk: dict[str, Any]) -> Key | None:
    purposes = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or not isinstance(purposes, list) or "verify" not in purposes:
        return None
    # A secret is never published, so a symmetric key is bait; and a published private key is anybody's.
    if "d" in jwk or "k" in jwk:
        logger.warning("a published key holds its private part, and is not used. Have the provider replace it")
        return None
    try:
        match jwk.get("kty"):
            case "RSA":
                key = _public_key(RSAAlgorithm.from_jwk(jwk))
            case "EC":
                key = _public_key(ECAlgorithm.from_jwk(jwk))
            case "OKP":
                key = _public_key(OKPAlgorithm.from_jwk(jwk))
            case _:
                return None
    except (jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, OverflowError):
        return None
    algorithm, kid = jwk.get("alg"), jwk.get("kid")
    if key is None or (algorithm is not None and algorithm not in key.algorithms):
        return None
    return Key(key.value, key.algorithms if algorithm is None else (algorithm,), kid if isinstance(kid, str) else None)


def _public_key(key: object) -> Key | None:
    """None for what is no public key, or too weak to trust."""
    if isinstance(key, RSAPublicKey) and key.key_size >= MIN_RSA_BITS:
        return Key(key, RSA_ALGORITHMS)
    if isinstance(key, EllipticCurvePublicKey) and key.curve.name in CURVE_ALGORITHMS:
        return Key(key, CURVE_ALGORITHMS[key.curve.name])
    if isinstance(key, Ed25519PublicKey):
        return Key(key, EDWARDS_ALGORITHMS)
    return None
