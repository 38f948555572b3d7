"""Every bad token gets its code, every good one its identity, and nothing else ever comes out."""

import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from api.identity import Identity
from api.tokens import MAX_LENGTH, TokenVerifier
from changefeed.errors import AuthenticationError
from changefeed.event import Owner
from changefeed.settings import Settings
from tests.support.issuer import SECRET, PrivateKey, claims, private_key, public_pem, segment, token

NOW = int(time.time())
HOUR = 3600
HEADER = {"alg": "HS256", "typ": "JWT"}


def verifier(**named: Any) -> TokenVerifier:
    return TokenVerifier(Settings(**({"jwt_secret": SECRET} | named)))


async def refusal(text: str, **named: Any) -> AuthenticationError:
    with pytest.raises(AuthenticationError) as refused:
        await verifier(**named).verify(text)
    return refused.value


def signed(header: Any, payload: Any) -> str:
    """Properly signed with the secret, whatever the parts are."""
    parts = f"{segment(header)}.{segment(payload)}"
    algorithm = jwt.get_algorithm_by_name("HS256")
    return f"{parts}.{segment(algorithm.sign(parts.encode(), SECRET.encode()))}"


async def test_a_good_token_is_somebody() -> None:
    payload = claims(org="o1", role="admin", jti="t1", iat=NOW, exp=NOW + HOUR)
    named = verifier(owner_claims={"sub": "user", "org": "org"})
    assert await named.verify(token(payload)) == Identity(
        user_id="user-1",
        owners=frozenset({Owner("user", "user-1"), Owner("org", "o1")}),
        admin=True,
        expires_at=float(NOW + HOUR),
        issued_at=float(NOW),
        token_id="t1",
    )


BAD: dict[str, tuple[str, Callable[[], str], dict[str, Any]]] = {
    "none at all": ("token-missing", lambda: "", {}),
    "huge": ("token-too-large", lambda: token(claims(filler="x" * MAX_LENGTH)), {}),
    "garbage": ("token-malformed", lambda: "garbage", {}),
    "dots": ("token-malformed", lambda: "..", {}),
    "other letters": ("token-malformed", lambda: "ü.ü.ü", {}),
    "half a surrogate pair": ("token-malformed", lambda: "\ud800", {}),
    "with a prefix": ("token-malformed", lambda: f"Bearer {token()}", {}),
    "cut off": ("token-malformed", lambda: token().rpartition(".")[0], {}),
    "five parts, as an encrypted one": ("token-malformed", lambda: f"{token()}.a.b", {}),
    "header is no object": ("token-malformed", lambda: signed([1], claims()), {}),
    "header is no JSON": ("token-malformed", lambda: signed(b"{", claims()), {}),
    "header without algorithm": ("token-algorithm", lambda: signed({}, claims()), {}),
    "algorithm is a list": ("token-algorithm", lambda: signed({"alg": ["HS256"]}, claims()), {}),
    "kid is a number": ("token-malformed", lambda: signed(HEADER | {"kid": 7}, claims()), {}),
    "must be understood": ("token-malformed", lambda: signed(HEADER | {"crit": ["x"], "x": 1}, claims()), {}),
    "payload elsewhere": ("token-malformed", lambda: signed(HEADER | {"b64": False, "crit": ["b64"]}, b""), {}),
    "payload is no object": ("token-malformed", lambda: signed(HEADER, ["sub"]), {}),
    "payload is no JSON": ("token-malformed", lambda: signed(HEADER, b"\xff"), {}),
    "payload is a bomb": ("token-malformed", lambda: signed(HEADER, b"[" * 11000), {}),
    "header is a bomb": ("token-malformed", lambda: signed(b'{"a":' * 2000, claims()), {}),
    "a claim is a deep tree": ("token-malformed", lambda: signed(HEADER, b'{"a":' + b"[" * 9000), {}),
    "a number without end": ("token-malformed", lambda: signed(HEADER, b'{"exp":' + b"9" * 5000 + b"}"), {}),
    "expired": ("token-expired", lambda: token(claims(exp=NOW - 1)), {}),
    "expired beyond the leeway": ("token-expired", lambda: token(claims(exp=NOW - HOUR)), {"jwt_leeway": 60}),
    "never expires": ("token-malformed", lambda: token(claims(exp=...)), {}),
    "expires at null": ("token-malformed", lambda: token(claims(exp=None)), {}),
    "expires at a text": ("token-malformed", lambda: token(claims(exp=str(NOW + HOUR))), {}),
    "expires at infinity": ("token-malformed", lambda: signed(HEADER, b'{"sub":"u","exp":1e999}'), {}),
    "not before tomorrow": ("token-not-yet-valid", lambda: token(claims(nbf=NOW + 24 * HOUR)), {}),
    "issued tomorrow": ("token-not-yet-valid", lambda: token(claims(iat=NOW + 24 * HOUR)), {}),
    "issued at a text": ("token-malformed", lambda: token(claims(iat="now")), {}),
    "no subject": ("token-subject", lambda: token(claims(sub=...)), {}),
    "subject is null": ("token-subject", lambda: token(claims(sub=None)), {}),
    "subject is empty": ("token-subject", lambda: token(claims(sub="")), {}),
    "subject is a number": ("token-subject", lambda: token(claims(sub=7)), {}),
    "no audience": ("token-audience", token, {"jwt_audience": "a"}),
    "audience is empty": ("token-audience", lambda: token(claims(aud="")), {"jwt_audience": "a"}),
    "audience is another": ("token-audience", lambda: token(claims(aud="b")), {"jwt_audience": "a"}),
    "audiences are others": ("token-audience", lambda: token(claims(aud=["b", "c"])), {"jwt_audience": "a"}),
    "audience is a part": ("token-audience", lambda: token(claims(aud="abc")), {"jwt_audience": "b"}),
    "audience is an object": ("token-audience", lambda: token(claims(aud={"a": 1})), {"jwt_audience": "a"}),
    "no issuer": ("token-issuer", token, {"jwt_issuer": "https://i"}),
    "issuer is another": ("token-issuer", lambda: token(claims(iss="https://j")), {"jwt_issuer": "https://i"}),
    "issuer has a slash more": ("token-issuer", lambda: token(claims(iss="https://i/")), {"jwt_issuer": "https://i"}),
    "issuer is a list": ("token-issuer", lambda: signed(HEADER, claims(iss=["i"])), {"jwt_issuer": "i"}),
    "another secret": ("token-key", lambda: token(key="another secret, which is long enough too"), {}),
    "no signature": ("token-key", lambda: token().rpartition(".")[0] + ".", {}),
    "changed": ("token-key", lambda: ".".join([segment(HEADER), segment(claims(sub="b")), token().split(".")[2]]), {}),
    "algorithm none": ("token-algorithm", lambda: f"{segment({'alg': 'none'})}.{segment(claims())}.", {}),
    "another HMAC": ("token-algorithm", lambda: token(key=SECRET * 2, algorithm="HS512"), {}),
    "ECDSA where a secret is meant": ("token-algorithm", lambda: token(None, private_key("ES256"), "ES256"), {}),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_token_is_refused_with_its_code_and_without_its_text(name: str) -> None:
    code, make, named = BAD[name]
    text = make()
    error = await refusal(text, **named)
    assert error.code == code
    assert not error.retry
    assert all(part not in str(error) for part in text.split(".") if len(part) > 8)
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda now: claims(exp=now - 30), {"jwt_leeway": 60}),
        (lambda now: claims(nbf=now + 30), {"jwt_leeway": 60}),
        (lambda now: claims(exp=now + 30.5), {}),
        (lambda _: claims(iat=...), {}),
        (lambda _: claims(jti=7), {}),
        (lambda _: claims(aud="whatever"), {}),
        (lambda _: claims(aud="a"), {"jwt_audience": "a"}),
        (lambda _: claims(aud=["b", "a"]), {"jwt_audience": "a"}),
        (lambda _: claims(aud="b"), {"jwt_audience": "a, b"}),
        (lambda _: claims(iss="https://i"), {"jwt_issuer": "https://i"}),
    ],
)
async def test_what_the_settings_do_not_forbid_is_accepted(
    make: Callable[[int], dict[str, Any]], named: dict[str, Any]
) -> None:
    assert (await verifier(**named).verify(token(make(int(time.time()))))).user_id == "user-1"


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "ES512", "EdDSA"])
async def test_a_public_key_checks_the_algorithms_of_its_kind(algorithm: str) -> None:
    key = private_key(algorithm)
    checked = verifier(jwt_secret=None, jwt_public_key=public_pem(key).replace("\n", "\\n"))
    assert (await checked.verify(token(None, key, algorithm))).user_id == "user-1"
    with pytest.raises(AuthenticationError) as refused:
        await checked.verify(token(None, private_key(algorithm, 2), algorithm))
    assert refused.value.code == "token-key"


def hmac_with_the_public_key(key: PrivateKey) -> str:
    """What a confused verifier accepts: it takes the public key for the secret that the token claims to be made with."""
    parts = f"{segment(HEADER)}.{segment(claims())}"
    forged = jwt.get_algorithm_by_name("HS256").sign(parts.encode(), public_pem(key).encode())
    return f"{parts}.{segment(forged)}"


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_a_public_key_is_never_taken_for_a_secret(algorithm: str) -> None:
    key = private_key(algorithm)
    error = await refusal(hmac_with_the_public_key(key), jwt_secret=None, jwt_public_key=public_pem(key))
    assert error.code == "token-algorithm"


async def test_another_kind_of_signature_than_the_keys_is_refused() -> None:
    named = {"jwt_secret": None, "jwt_public_key": public_pem(private_key("ES256"))}
    for algorithm in ("ES384", "RS256", "EdDSA"):
        error = await refusal(token(None, private_key(algorithm), algorithm), **named)
        assert error.code == "token-algorithm"


SUPABASE = {
    "iss": "https://ref.supabase.co/auth/v1",
    "aud": "authenticated",
    "role": "authenticated",
    "session_id": "00000000-0000-4000-8000-000000000005",
    "aal": "aal1",
    "is_anonymous": False,
    "email": "somebody@example.com",
    "user_metadata": {"role": "admin", "app_metadata": {"role": "admin"}},
}


@pytest.mark.parametrize("algorithm", ["HS256", "ES256"])
async def test_supabase_tokens_work_as_they_are(algorithm: str) -> None:
    key: Any = SECRET if algorithm == "HS256" else private_key("ES256")
    checked = verifier(
        jwt_secret=SECRET if algorithm == "HS256" else None,
        jwt_public_key=None if algorithm == "HS256" else public_pem(key),
        jwt_audience="authenticated",
        jwt_issuer="https://ref.supabase.co/auth/v1",
        admin_claim="app_metadata.role",
    )
    user = await checked.verify(token(claims(**SUPABASE, app_metadata={"provider": "email"}), key, algorithm, kid="k1"))
    assert not user.admin
    admin = await checked.verify(token(claims(**SUPABASE, app_metadata={"role": "admin"}), key, algorithm, kid="k1"))
    assert admin.admin
    for role in ("anon", "service_role"):
        api_key = claims(sub=..., iss="supabase", ref="ref", role=role)
        with pytest.raises(AuthenticationError) as refused:
            await checked.verify(token(api_key, key, algorithm))
        assert refused.value.code == "token-subject"


CHECKED = verifier(jwt_audience="a", jwt_issuer="i", owner_claims={"sub": "user", "org.id": "org"})

header_values = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.lists(st.text(max_size=4), max_size=2)
)
claim_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
headers = st.fixed_dictionaries({}, optional=dict.fromkeys(["typ", "kid", "crit", "b64", "x5u"], header_values))
payloads = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(["sub", "exp", "nbf", "iat", "aud", "iss", "jti", "org", "role"], claim_values)
)


async def comes_to_an_identity_or_a_refusal(text: str) -> None:
    try:
        assert isinstance(await CHECKED.verify(text), Identity)
    except AuthenticationError:
        return


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=200) | st.lists(st.binary(max_size=60).map(segment), min_size=2, max_size=4).map(".".join))
async def test_no_text_does_anything_but_be_refused(text: str) -> None:
    with pytest.raises(AuthenticationError):
        await CHECKED.verify(text)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(headers, payloads)
@example({}, {"sub": "u", "exp": 10**400, "aud": "a", "iss": "i"})
async def test_no_signed_token_does_anything_but_be_accepted_or_refused(
    header: dict[str, Any], payload: dict[str, Any]
) -> None:
    good = {"sub": "u", "exp": NOW + HOUR, "aud": "a", "iss": "i"}
    await comes_to_an_identity_or_a_refusal(signed({"alg": "HS256"} | header, good | payload))
