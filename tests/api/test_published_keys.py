"""Which of a provider's published keys are used, and for which tokens."""

from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from jwt.algorithms import ECAlgorithm

from api.keys import STALE, KeySet
from api.tokens import TokenVerifier
from changefeed.errors import AuthenticationError
from changefeed.settings import Settings
from tests.support.issuer import Provider, claims, jwk, private_key, public_pem, segment, token
from tests.support.issuer import provider as open_provider

OLD, NEW = private_key("ES256"), private_key("ES256", 2)


@pytest.fixture
def provider() -> Iterator[Provider]:
    with open_provider() as served:
        yield served


@pytest.fixture
def verifier(provider: Provider) -> TokenVerifier:
    url = provider.url
    return TokenVerifier(Settings(jwt_jwks_url=url), keys=KeySet(url, timeout=30.0))


def of(key: Any, kid: str | None, algorithm: str = "ES256") -> str:
    return token(claims(), key, algorithm, **({} if kid is None else {"kid": kid}))


async def accepts(verifier: TokenVerifier, text: str) -> bool:
    return (await verifier.verify(text)).user_id == "user-1"


async def refusal(verifier: TokenVerifier, text: str) -> str:
    with pytest.raises(AuthenticationError) as refused:
        await verifier.verify(text)
    return refused.value.code


@pytest.mark.parametrize("algorithm", ["RS256", "PS512", "ES256", "ES384", "ES512", "EdDSA"])
async def test_a_published_key_checks_tokens(provider: Provider, verifier: TokenVerifier, algorithm: str) -> None:
    provider.keys = [jwk(private_key(algorithm), "k")]
    assert await accepts(verifier, of(private_key(algorithm), "k", algorithm))
    assert await refusal(verifier, of(private_key(algorithm, 9), "k", algorithm)) == "token-key"


USELESS: dict[str, dict[str, Any]] = {
    "for encryption": jwk(OLD, "k", use="enc"),
    "not for verifying": jwk(OLD, "k", key_ops=["sign"]),
    "for nothing": jwk(OLD, "k", key_ops=7),
    "for another algorithm": jwk(OLD, "k", alg="ES384"),
    "for an unknown algorithm": jwk(OLD, "k", alg=["ES256"]),
    "a secret": {"kty": "oct", "kid": "k", "k": segment(public_pem(OLD).encode()), "alg": "HS256"},
    "of no kind": {"kid": "k"},
    "of an odd kind": jwk(OLD, "k", kty=["EC"]),
    "broken": jwk(OLD, "k", x="AAAA"),
    "broken in another way": jwk(OLD, "k", x=7),
    "on an unknown curve": jwk(OLD, "k", crv="P-1"),
    "weak": {"kty": "RSA", "kid": "k", "e": "AQAB", "n": segment(b"\xff" * 64)},
    "with a number for a name": jwk(OLD) | {"kid": 7},
}


@pytest.mark.parametrize("kind", USELESS)
async def test_what_is_no_key_for_checking_is_passed_over(
    provider: Provider, verifier: TokenVerifier, kind: str
) -> None:
    provider.keys = [None, "k", USELESS[kind], jwk(NEW, "new")]
    assert await accepts(verifier, of(NEW, "new"))
    assert await refusal(verifier, of(OLD, "k")) == "token-key"


async def test_a_key_for_one_algorithm_checks_no_other(provider: Provider, verifier: TokenVerifier) -> None:
    key = private_key("RS256")
    provider.keys = [jwk(key, "k", alg="RS256")]
    assert await accepts(verifier, of(key, "k", "RS256"))
    assert await refusal(verifier, of(key, "k", "RS512")) == "token-algorithm"
    assert await refusal(verifier, of(OLD, "k", "ES256")) == "token-algorithm"


async def test_a_token_without_a_key_id_is_checked_where_only_one_key_fits(
    provider: Provider, verifier: TokenVerifier
) -> None:
    provider.keys = [jwk(OLD), jwk(private_key("RS256"), "rsa"), jwk(private_key("RS256", 2), "rsa2")]
    assert await accepts(verifier, of(OLD, None))
    assert await refusal(verifier, of(private_key("RS256"), None, "RS256")) == "token-key"


async def test_a_published_private_key_is_not_used_and_said_so(
    provider: Provider, verifier: TokenVerifier, caplog: pytest.LogCaptureFixture
) -> None:
    assert isinstance(OLD, EllipticCurvePrivateKey)
    published = ECAlgorithm.to_jwk(OLD, as_dict=True)
    assert "d" in published
    provider.keys = [published | {"kid": "k"}]
    assert await refusal(verifier, of(OLD, "k")) == "token-key"
    assert "holds its private part" in caplog.text
    assert published["d"] not in caplog.text


async def test_keys_that_nobody_has_asked_for_are_due_long_before_they_are_too_old(provider: Provider) -> None:
    """Otherwise an hour without a visitor would make a healthy process unready."""
    now = 0.0
    provider.keys = [jwk(OLD, "old")]
    verifier = TokenVerifier(
        Settings(jwt_jwks_url=provider.url), keys=KeySet(provider.url, timeout=30.0, clock=lambda: now)
    )
    assert (verifier.usable, verifier.aging) == (False, True)
    assert await verifier.prepare()
    for passed, usable, aging in ((1.0, True, False), (STALE / 2, True, True), (STALE / 2, False, True)):
        now += passed
        assert (verifier.usable, verifier.aging) == (usable, aging)
    assert await verifier.prepare()
    assert (verifier.usable, verifier.aging) == (True, False)
