"""A kick refuses the tokens that are older than it, and is told once."""

import time

import pytest

from api.identity import Identity
from api.revocations import Revocations
from api.tokens import TokenVerifier
from changefeed.errors import AuthenticationError
from changefeed.settings import Settings
from tests.support.issuer import SECRET, claims, token

NOW = int(time.time())


async def test_a_kicked_users_older_tokens_are_refused_and_newer_ones_are_not() -> None:
    revocations = Revocations()
    checked = TokenVerifier(Settings(jwt_secret=SECRET), revocations)
    assert revocations.replace({"user-1": NOW - 10.5}) == {"user-1"}
    for iat in (NOW - 100, NOW - 11, ...):
        with pytest.raises(AuthenticationError) as refused:
            await checked.verify(token(claims(iat=iat)))
        assert refused.value.code == "token-revoked"
    assert (await checked.verify(token(claims(iat=NOW - 10)))).user_id == "user-1"
    assert (await checked.verify(token(claims(sub="user-2", iat=...)))).user_id == "user-2"


def test_a_kick_is_told_once_and_can_be_lifted() -> None:
    revocations = Revocations()
    somebody = Identity("a", frozenset(), admin=False, expires_at=None, issued_at=1.0)
    assert revocations.replace({"a": 1.0, "b": 1.0}) == {"a", "b"}
    with pytest.raises(AuthenticationError):
        revocations.check(somebody)
    assert revocations.replace({"a": 2.0, "b": 1.0}) == {"a"}
    with pytest.raises(AuthenticationError):
        revocations.check(somebody)
    assert revocations.replace({}) == frozenset()
    revocations.check(somebody)
