"""Settings: from the environment, with defaults that work, and a value that cannot work refused with what to do."""

import os
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from changefeed.settings import DEFAULT_SOURCES, ExecutionSource, Settings, TaskSource, misspelt
from changefeed.sources import FIELDS

SECRET = "s" * 32
PUBLIC = "-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("CHANGEFEED_") or name == "DATABASE_URL":
            monkeypatch.delenv(name)


def made(**values: Any) -> Settings:
    return Settings(**values)


def refusal(**values: Any) -> str:
    with pytest.raises(ValidationError) as refused:
        made(**values)
    return str(refused.value)


def test_without_any_environment_the_defaults_are_those_of_the_design() -> None:
    settings = made()
    assert settings.dsn is None
    assert settings.sources == DEFAULT_SOURCES
    assert settings.retention == settings.max_absence == timedelta(hours=24)
    assert (settings.max_replay, settings.buffer_messages, settings.buffer_bytes) == (10_000, 1000, 1 << 20)
    assert (settings.auth_timeout, settings.ping_interval, settings.heartbeat_interval) == (5.0, 20.0, 20.0)
    assert (settings.expiry_warning, settings.expiry_grace) == (60.0, 25.0)
    assert settings.doorbell is None
    assert settings.safety_interval == 1.0
    assert settings.owner_claims == {"sub": "user"}
    assert settings.host == "127.0.0.1"


def test_they_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHANGEFEED_DOORBELL", "off")
    monkeypatch.setenv("CHANGEFEED_RETENTION", "PT1H")
    monkeypatch.setenv("CHANGEFEED_OWNER_CLAIMS", '{"sub": "user", "org_id": "org"}')
    monkeypatch.setenv("CHANGEFEED_ALLOWED_ORIGINS", "https://a.example, https://*.b.example")
    monkeypatch.setenv(
        "CHANGEFEED_SOURCES",
        '{"app.run": {"kind": "execution", "columns": {"status": "state"}, "running": ["1"]},'
        ' "app.step": {"kind": "agent-task"}}',
    )
    settings = made()
    assert settings.doorbell is False
    assert settings.retention == timedelta(hours=1)
    assert settings.owner_claims == {"sub": "user", "org_id": "org"}
    assert settings.allowed_origins == {"https://a.example", "https://*.b.example"}
    assert settings.sources == {
        "app.run": ExecutionSource(columns={"status": "state"}, running=frozenset({"1"})),
        "app.step": TaskSource(),
    }


def test_the_database_is_ours_or_else_the_usual_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://u:p@h:5432/usual")
    assert made().dsn == "postgresql://u:p@h:5432/usual"
    monkeypatch.setenv("CHANGEFEED_DSN", "postgresql://h/ours")
    assert made().dsn == "postgresql://h/ours"


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("postgresql+asyncpg://u@h/d", "postgresql://u@h/d"),
        ("postgres://u@h/d", "postgresql://u@h/d"),
        ("postgresql:///d?host=/run/postgresql", "postgresql:///d?host=/run/postgresql"),
        ("", None),
        (None, None),
    ],
)
def test_a_dsn_as_others_write_it_is_accepted(given: str | None, meant: str | None) -> None:
    assert made(dsn=given).dsn == meant


def test_a_dsn_of_another_database_is_refused_without_its_password() -> None:
    text = refusal(dsn="mysql://u:hunter2@h/d")
    assert "mysql:// is not PostgreSQL" in text
    assert "hunter2" not in text


@pytest.mark.parametrize("value", ["a,b", " a , b ,, ", '["a", "b"]', ["a", "b"]])
def test_names_are_a_list_or_a_text_with_commas(value: Any) -> None:
    assert made(admin_values=value).admin_values == {"a", "b"}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"jwt_secret": "short"}, "at least 32 bytes"),
        ({"jwt_secret": PUBLIC}, "a key, not a secret"),
        ({"jwt_public_key": "ssh-rsa AAAA"}, "no public key in PEM"),
        ({"jwt_public_key": "-----BEGIN PRIVATE KEY-----"}, "openssl pkey -pubout"),
        ({"jwt_jwks_url": "file:///etc/keys"}, "no key set's address"),
        ({"jwt_jwks_url": "https://u:p@h/keys"}, "without a user and password"),
        (
            {"jwt_secret": SECRET, "jwt_public_key": PUBLIC},
            "CHANGEFEED_JWT_SECRET and CHANGEFEED_JWT_PUBLIC_KEY are set",
        ),
        ({"jwt_audience": ""}, "it is empty"),
        ({"jwt_issuer": ""}, "it is empty"),
        ({"admin_claim": "user_metadata.role"}, "users write user_metadata.role themselves"),
        ({"owner_claims": {"a.unsafe_metadata": "user"}}, "users write"),
        ({"owner_claims": {"sub": ""}}, "is empty"),
    ],
)
def test_what_would_let_the_wrong_people_in_is_refused(values: dict[str, Any], says: str) -> None:
    text = refusal(**values)
    assert says in text
    assert SECRET not in text


@pytest.mark.parametrize(
    "values",
    [
        {"poll_interval": 0},
        {"poll_interval": 2},
        {"safety_interval": 0},
        {"page_rows": 0},
        {"pool_size": 0},
        {"buffer_messages": 0},
        {"buffer_bytes": 100},
        {"port": 70_000},
        {"max_replay": -1},
        {"sources": {"public.t": {"kind": "other"}}},
        {"sources": {"public.t": {"kind": "execution", "runing": ["x"]}}},
        {"retention": "yesterday"},
        {"retention": "PT0S"},
        {"max_absence": "-PT1H"},
    ],
    ids=str,
)
def test_a_value_that_cannot_work_is_refused(values: dict[str, Any]) -> None:
    refusal(**values)


def execution(**members: Any) -> dict[str, Any]:
    return {"sources": {"public.t": {"kind": "execution", **members}}}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (execution(columns={"statsu": "state"}), "there is no statsu"),
        (execution(columns={"task_id": "id"}), "known: completed_at, cost_usd"),
        (execution(columns={"status": ""}), "the column of status is empty"),
        (execution(runing=["x"]), "execution.runing"),
        (execution(completed=["failed"]), "failed: a status means one of running, completed and failed"),
        ({"sources": {"public.t": {"kind": "agent-task", "columns": {"started_at": "at"}}}}, "there is no started_at"),
        ({"sources": {"t": {"kind": "execution"}}}, "as in public.t"),
        ({"sources": {".t": {"kind": "execution"}}}, "as in public.t"),
        ({"connectors": {"call_columns": {"latency": "ms"}}}, "there is no latency"),
        ({"connectors": {"connector_columns": {"nmae": "title"}}}, "known: id, name, provider"),
        ({"connectors": {"calls": "connector_call"}}, "as in public.connector_call"),
        ({"connectors": {"call": "public.connector_call"}}, "connectors.call"),
    ],
)
def test_a_name_that_is_misspelt_is_refused_and_not_looked_for_in_vain(values: dict[str, Any], says: str) -> None:
    assert says in refusal(**values)


def test_every_field_of_a_source_may_have_a_column_of_another_name() -> None:
    for kind, fields in FIELDS.items():
        columns = {field: f"{field}_" for field in fields}
        assert made(sources={"a.b": {"kind": kind, "columns": columns}}).sources["a.b"].columns == columns


def test_line_breaks_of_a_key_may_be_written_out() -> None:
    assert made(jwt_public_key=PUBLIC.replace("\n", "\\n")).jwt_public_key == PUBLIC


def test_settings_cannot_be_changed_and_show_no_secret() -> None:
    settings = made(jwt_secret=SECRET)
    assert SECRET not in repr(settings)
    with pytest.raises(ValidationError):
        settings.port = 1  # type: ignore[misc]


def test_a_variable_that_is_no_setting_is_named_with_the_one_that_is_most_like_it() -> None:
    mistaken = ["CHANGEFEED_JWT_SECERT", "changefeed_pool_sise", "CHANGEFEED_ZZZZ"]
    others = ["CHANGEFEED_PORT", "changefeed_port", "PATH", "DATABASE_URL", "CHANGEFEED", "CHANGEFEED_DSN"]
    tests = ["CHANGEFEED_TEST_REQUIRE", "CHANGEFEED_DEMO"]
    found = misspelt([*mistaken, *others, *tests])
    assert found == {
        "CHANGEFEED_JWT_SECERT": "CHANGEFEED_JWT_SECRET",
        "changefeed_pool_sise": "CHANGEFEED_POOL_SIZE",
        "CHANGEFEED_ZZZZ": None,
    }
