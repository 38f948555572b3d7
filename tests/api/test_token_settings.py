"""Settings that cannot check any token, or would check too little, are refused before anything has started."""

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import ValidationError

from api.closing import ERRORS
from api.tokens import TokenVerifier
from changefeed.errors import AuthenticationCode, ConfigurationError
from changefeed.settings import Settings
from tests.support.issuer import SECRET, PrivateKey, private_key, public_pem

ROOT = Path(__file__).resolve().parent.parent.parent
PRIVATE_PEM = "-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ({"jwt_secret": "short"}, "at least 32 bytes"),
        ({"jwt_secret": public_pem(private_key("ES256"))}, "CHANGEFEED_JWT_PUBLIC_KEY"),
        ({"jwt_secret": '{"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}'}, "CHANGEFEED_JWT_PUBLIC_KEY"),
        ({"jwt_secret": SECRET, "jwt_jwks_url": "https://example.com/jwks.json"}, "remove the others"),
        ({"jwt_public_key": PRIVATE_PEM}, "openssl pkey -pubout"),
        ({"jwt_public_key": "key.pem"}, "no public key in PEM"),
        ({"jwt_jwks_url": "example.com/jwks.json"}, "https://HOST/PATH"),
        ({"jwt_jwks_url": "file:///etc/keys.json"}, "https://HOST/PATH"),
        ({"jwt_jwks_url": "https:///jwks.json"}, "https://HOST/PATH"),
        ({"jwt_jwks_url": "https://user:pass@example.com/"}, "https://HOST/PATH"),
        ({"jwt_audience": ""}, "leave it out"),
        ({"jwt_audience": " , "}, "leave it out"),
        ({"jwt_issuer": ""}, "leave it out"),
        ({"jwt_leeway": 3600}, "less than or equal to 60"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_a_remedy_and_without_the_secret(
    named: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValidationError, match=says) as refused:
        Settings(**named)
    assert not any(str(value) in str(refused.value) for name, value in named.items() if name == "jwt_secret")


def test_a_verifier_without_a_key_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="CHANGEFEED_JWT_JWKS_URL"):
        TokenVerifier(Settings(jwt_secret="", jwt_public_key="", jwt_jwks_url=""))


def test_a_key_that_nobody_should_trust_is_refused() -> None:
    broken = "-----BEGIN PUBLIC KEY-----\nMC4=\n-----END PUBLIC KEY-----"
    with pytest.raises(ConfigurationError, match="cannot be read"):
        TokenVerifier(Settings(jwt_public_key=broken))
    nested = json.dumps([[{"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}]])
    with pytest.raises(ConfigurationError, match="openssl rand"):
        TokenVerifier(Settings(jwt_secret=nested))


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP256K1()), rsa.generate_private_key(65537, 1024)])
def test_a_public_key_of_another_kind_or_too_weak_is_refused(key: PrivateKey) -> None:
    with pytest.raises(ConfigurationError, match="Use RSA of 2048 bits or more"):
        TokenVerifier(Settings(jwt_public_key=public_pem(key)))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("authenticated", {"authenticated"}),
        ("a, b,", {"a", "b"}),
        ('["a,b", "c"]', {"a,b", "c"}),
    ],
)
def test_names_in_the_environment_need_not_be_json(monkeypatch: pytest.MonkeyPatch, text: str, names: set[str]) -> None:
    for variable in ("JWT_AUDIENCE", "ADMIN_VALUES", "ALLOWED_ORIGINS"):
        monkeypatch.setenv(f"CHANGEFEED_{variable}", text)
    found = Settings()
    assert found.jwt_audience == found.admin_values == found.allowed_origins == names


def test_every_refusal_has_its_close_code() -> None:
    assert set(get_args(AuthenticationCode)) <= set(ERRORS)


def test_every_code_and_every_setting_is_documented() -> None:
    text = (ROOT / "docs" / "authentication.md").read_text(encoding="utf-8")
    codes = set(get_args(AuthenticationCode))
    assert set(re.findall(r"^\| `([a-z]+(?:-[a-z]+)+)` \|", text, re.MULTILINE)) == codes
    named = [name for name in Settings.model_fields if name.startswith(("jwt_", "owner_", "admin_", "allowed_"))]
    assert [name for name in [*named, "query_token"] if f"CHANGEFEED_{name.upper()}" not in text] == []
