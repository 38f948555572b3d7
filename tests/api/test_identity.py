"""What claims come to: owners and role from the claims that the settings name, and never more."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from api.identity import LATEST, Identity, find, identity_of
from changefeed.errors import AuthenticationError
from changefeed.event import Owner
from changefeed.settings import Settings

CLAIMS: dict[str, Any] = {"sub": "u1", "iat": 1000, "exp": 2000, "jti": "t1"}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def owners(claims: dict[str, Any], **owner_claims: str) -> set[Owner]:
    return set(identity_of(CLAIMS | claims, Settings(owner_claims=owner_claims)).owners)


def is_admin(claims: dict[str, Any], claim: str = "role", *values: str) -> bool:
    settings = Settings(admin_claim=claim, admin_values=frozenset(values or ("admin",)))
    return identity_of(CLAIMS | claims, settings).admin


def test_plain_claims_make_an_ordinary_user() -> None:
    assert identity_of(CLAIMS, Settings()) == Identity(
        user_id="u1",
        owners=frozenset({Owner("user", "u1")}),
        admin=False,
        expires_at=2000.0,
        issued_at=1000.0,
        token_id="t1",
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", {"a"}),
        (7, {"7"}),
        (7.0, {"7"}),
        (7.5, {"7.5"}),
        (["a", 7, "a"], {"a", "7"}),
        (["a", None, "", [], ["b"], {"c": "d"}, True], {"a"}),
        (None, set()),
        ("", set()),
        (" \t", set()),
        ([], set()),
        (True, set()),
        ({"id": "a"}, set()),
        (float("nan"), set()),
        (float("inf"), set()),
        (9007199254740993.0, set()),
        (9007199254740993, {"9007199254740993"}),
        ("a\0b", set()),
        ("\ud800", set()),
    ],
)
def test_an_owner_claim_is_a_text_a_number_or_a_list_of_them(value: Any, expected: set[str]) -> None:
    assert owners({"org": value}, org="org") == {Owner("org", text) for text in expected}


def test_an_absent_claim_matches_nothing() -> None:
    assert owners({}, org="org") == set()


def test_several_claims_make_owners_of_several_kinds() -> None:
    claims = {"org_id": "o1", "app_metadata": {"teams": ["t1", "t2"]}}
    assert owners(claims, **{"sub": "user", "org_id": "org", "app_metadata.teams": "team"}) == {
        Owner("user", "u1"),
        Owner("org", "o1"),
        Owner("team", "t1"),
        Owner("team", "t2"),
    }


@pytest.mark.parametrize(
    ("claims", "path", "found"),
    [
        ({"a": {"b": 1}}, "a.b", 1),
        ({"a.b": 1, "a": {"b": 2}}, "a.b", 1),
        ({"https://example.com/org": 1}, "https://example.com/org", 1),
        ({"https://example.com/claims": {"org": 1}}, "https://example.com/claims.org", 1),
        ({"a": {"b": {"c": None}}}, "a.b.c", None),
        ({"a": "text"}, "a.b", None),
        ({"a": [{"b": 1}]}, "a.b", None),
        ({}, "a.b", None),
        ({"": {"": 1}}, ".", 1),
    ],
)
def test_a_path_leads_into_objects_and_a_dot_may_belong_to_a_name(
    claims: dict[str, Any], path: str, found: Any
) -> None:
    assert find(claims, path) == found


@pytest.mark.parametrize(
    ("claims", "claim", "values", "admin"),
    [
        ({"role": "admin"}, "role", (), True),
        ({"role": "Admin"}, "role", (), False),
        ({"role": ["reader", "admin"]}, "role", (), True),
        ({"role": "owner"}, "role", ("owner", "admin"), True),
        ({"app_metadata": {"role": "admin"}}, "app_metadata.role", (), True),
        ({"app_metadata": {"role": "admin"}}, "role", (), False),
        ({"is_admin": True}, "is_admin", ("true",), True),
        ({"is_admin": False}, "is_admin", ("true",), False),
        ({"level": 9}, "level", ("9",), True),
        ({"role": None}, "role", ("None", "null", ""), False),
        ({"role": ""}, "role", ("",), False),
        ({"role": {"admin": True}}, "role", (), False),
        ({"user_metadata": {"role": "admin"}, "role": "authenticated"}, "role", (), False),
        ({"user_metadata": {"role": "admin"}}, "app_metadata.role", (), False),
    ],
)
def test_an_admin_is_who_the_named_claim_says(
    claims: dict[str, Any], claim: str, values: tuple[str, ...], admin: bool
) -> None:
    assert is_admin(claims, claim, *values) is admin


@pytest.mark.parametrize("claim", ["user_metadata", "user_metadata.role", "a.user_metadata.b", "unsafe_metadata.x"])
def test_what_users_write_themselves_makes_neither_admins_nor_owners(claim: str) -> None:
    with pytest.raises(ValidationError, match="users write"):
        Settings(admin_claim=claim)
    with pytest.raises(ValidationError, match="users write"):
        Settings(owner_claims={claim: "org"})


def test_a_claim_or_a_kind_without_a_name_is_refused() -> None:
    for owner_claims in ({"": "user"}, {"sub": ""}):
        with pytest.raises(ValidationError, match="is empty"):
            Settings(owner_claims=owner_claims)
    with pytest.raises(ValidationError, match="is empty"):
        Settings(admin_claim="")


def test_somebody_without_owner_and_role_is_somebody() -> None:
    identity = identity_of(CLAIMS, Settings(owner_claims={"org_id": "org"}))
    assert (identity.user_id, identity.owners, identity.admin) == ("u1", frozenset(), False)


@pytest.mark.parametrize("subject", [None, "", "  ", 7, True, ["u1"], {"id": "u1"}, "a\0", "\udfff"])
def test_a_subject_that_names_nobody_is_refused(subject: Any) -> None:
    with pytest.raises(AuthenticationError) as refusal:
        identity_of(CLAIMS | {"sub": subject}, Settings())
    assert refusal.value.code == "token-subject"


@pytest.mark.parametrize("name", ["exp", "iat"])
@pytest.mark.parametrize("value", ["2000", True, [], {}, float("nan"), float("-inf")])
def test_a_time_that_is_no_number_is_refused(name: str, value: Any) -> None:
    with pytest.raises(AuthenticationError) as refusal:
        identity_of(CLAIMS | {name: value}, Settings())
    assert refusal.value.code == "token-malformed"


@pytest.mark.parametrize("value", [1e300, 10**400, float("inf")])
def test_a_time_past_the_calendar_is_its_last_second(value: float) -> None:
    assert identity_of(CLAIMS | {"exp": value}, Settings()).expires_at == LATEST


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["org", "app_metadata", "user_metadata", "role", "jti"]), json_values))
def test_no_claims_make_more_than_they_say(claims: dict[str, Any]) -> None:
    named = Settings(owner_claims={"org": "org", "app_metadata.org": "org"}, admin_claim="app_metadata.role")
    identity = identity_of({"sub": "u1"} | claims, named)
    visible = repr(claims.get("org")) + repr(claims.get("app_metadata"))
    for kind, value in identity.owners:
        assert kind == "org"
        assert value.strip()
        assert value in visible or repr(value)[1:-1] in visible
    assert not identity.admin or "admin" in visible
