"""`/metrics`: after known traffic it says exactly what happened, and nothing about who it was."""

import re

import asyncpg
import httpx
import pytest

from tests.support.issuer import SECRET, claims, token
from tests.support.scrape import scraped, until
from tests.support.site import Site


async def test_after_known_traffic_every_count_is_exactly_what_happened(own: Site) -> None:
    service = await own.start(max_replay=3)
    one, other = await own.tenant(), await own.tenant()
    execution = await one.begin()
    await until(service.url, lambda scrape: scrape.value("relay_events_total") == 1)

    socket = await own.joined("websocket", one, topics="executions")
    stream = await own.joined("sse", one, topics="executions")
    await own.joined("sse", other, topics="executions")
    place = socket.cursor
    for number in (1, 2, 3):
        await one.move(execution, number)
    await socket.until("execution-updated", progress=3)
    await stream.until("execution-updated", progress=3)
    back = await own.joined("websocket", one, topics="executions", since=place)
    await back.until("execution-updated", progress=3)
    await own.joined("websocket", one, topics="executions", since=back.cursor)
    await one.move(execution, 4)
    for client in (socket, stream, back):
        await client.until("execution-updated", progress=4)
    too_much = await own.joined("websocket", one, topics="executions", since=place)
    await too_much.until("resync", reason="too-much")
    await socket.say("nonsense")  # type: ignore[attr-defined]
    await socket.until("error", code="message-invalid")
    await socket.say("ping")  # type: ignore[attr-defined]
    await socket.until("pong")

    found = await until(service.url, lambda scrape: scrape.value("messages_sent_total", type="pong") == 1)
    assert found.by("connections", "transport") == {"websocket": 4, "sse": 2, "longpoll": 0}
    assert found.by("connections_opened_total", "transport") == {"websocket": 4, "sse": 2}
    assert found.counted("connections_closed_total", "transport") == {}
    assert found.by("messages_sent_total", "type") == {
        "ready": 6,
        # Three to the two who were there, once more to the one who came back; the fourth to all who were there by then.
        "execution-updated": 2 * 3 + 3 + 4,
        "resync": 1,
        "error": 1,
        "pong": 1,
    }
    assert found.by("errors_total", "code") == {"message-invalid": 1}
    assert found.counted("authentication_failures_total", "code") == {}
    assert found.by("resumes_total", "outcome") == {"replayed": 1, "fresh": 1, "resync": 1}
    assert found.counted("resyncs_total", "reason") == {"too-much": 1}
    assert sum(found.by("replays_total", "source").values()) == 3
    assert found.by("sessions", "state") == {"live": 6, "lagging": 0, "replaying": 0}
    # What was replayed is no sign of how fast live messages are.
    assert found.value("capture_to_send_seconds_count") == 2 * 3 + 4
    assert found.value("capture_to_send_seconds_bucket", le="+Inf") == 2 * 3 + 4
    assert found.value("messages_waiting") == found.value("messages_waiting_max") == 0
    assert found.value("visitors") == 6
    assert (found.value("tasks") or 0) >= 2 * 6
    assert (found.value("ready"), found.value("relay_connected"), found.value("relay_leading")) == (1, 1, 1)
    assert found.value("listener_connections_total") == 1
    # The workflows have no triggers of rows, so: an insert and four updates.
    assert found.value("relay_events_total") == found.value("window_events") == 5
    assert (found.value("window_bytes") or 0) > 0
    assert found.value("database_read") == found.value("leader_present") == 1
    # The queue is the server's: another database's listener may be behind.
    usage = found.value("notification_queue_usage_ratio")
    assert usage is not None
    assert 0 <= usage < 0.01
    assert 86_000 < (found.value("capture_lease_seconds") or 0) <= 86_400
    assert found.value("log_capture_errors_total") == 0
    assert (found.value("log_bytes") or 0) > 0


async def test_what_alerts_count_is_there_before_it_counts_anything(own: Site) -> None:
    """The increase of a series that begins with its first value is none."""
    service = await own.start()
    found = await scraped(service.url)
    assert found.by("capture_errors_total", "table") == dict.fromkeys(
        ("public.agent_task", "public.connector_call", "public.workflow_execution"), 0
    )
    assert found.value("connections_closed_total", transport="websocket", code="4500") == 0
    assert found.value("authentication_failures_total", code="token-expired") == 0
    assert found.value("resyncs_total", reason="epoch") == 0
    assert set(found.by("statistics_drift_total", "topic").values()) == {0}


async def test_refusals_and_endings_are_counted_by_code(own: Site) -> None:
    service = await own.start(max_user_connections=1)
    tenant = await own.tenant()
    expired = token(claims(sub=str(tenant.id), exp=1))
    assert (await own.client("websocket", expired).refusal()).code == 4410
    assert (await own.client("sse", expired).refusal()).status == 401
    assert (await own.client("longpoll", None).refusal()).status == 401
    first = await own.joined("websocket", tenant)
    assert (await own.client("websocket", tenant).refusal()).code == 4409
    await first.close()
    left = await until(service.url, lambda scrape: scrape.value("visitors") == 0)
    second = await own.joined("websocket", tenant)
    await own.feed.execute("select changefeed.kick($1)", str(tenant.id))
    assert (await second.end()).code == 4403
    assert left.by("connections", "transport") == {"websocket": 0, "sse": 0, "longpoll": 0}

    found = await until(service.url, lambda scrape: scrape.value("visitors") == 0)
    closed = {
        tuple(sample.labels[name] for name in ("transport", "code")): sample.value
        for family in found.families
        for sample in family.samples
        if sample.name == "changefeed_connections_closed_total" and sample.value
    }
    assert closed == {
        ("websocket", "4410"): 1,
        ("sse", "4410"): 1,
        ("longpoll", "4401"): 1,
        ("websocket", "4409"): 1,
        ("websocket", "left"): 1,
        ("websocket", "4403"): 1,
    }
    assert found.by("errors_total", "code") == {
        "token-expired": 2,
        "token-missing": 1,
        "too-many-connections": 1,
        "kicked": 1,
    }
    failures = {"token-expired": 2, "token-missing": 1, "kicked": 1}
    assert found.counted("authentication_failures_total", "code") == failures


async def test_a_failure_of_the_capture_is_counted_for_its_table(own: Site) -> None:
    service = await own.start()
    tenant = await own.tenant()
    execution = await tenant.begin()
    client = await own.joined("websocket", tenant)
    await own.app.execute("alter table workflow_execution drop column current_node")
    await tenant.move(execution, 1)
    await client.until("resync", reason="capture-error")
    found = await scraped(service.url)
    assert found.counted("capture_errors_total", "table") == {"public.workflow_execution": 1}
    assert found.counted("resyncs_total", "reason") == {"capture-error": 1}


@pytest.mark.needs("doorbell")
async def test_who_sleeps_hears_a_ring_and_misses_no_bell(own: Site) -> None:
    service = await own.start()
    tenant = await own.tenant()
    client = await own.joined("websocket", tenant)
    asleep = await until(service.url, lambda scrape: scrape.value("relay_asleep") == 1)
    await tenant.begin()
    await client.until("execution-started")
    found = await until(
        service.url, lambda scrape: (scrape.value("relay_rings_total") or 0) > (asleep.value("relay_rings_total") or 0)
    )
    assert found.value("relay_missed_bells_total") == 0


@pytest.mark.needs("doorbell")
async def test_a_bell_that_was_not_rung_is_counted(own: Site) -> None:
    service = await own.start(safety_interval=0.2)
    await until(service.url, lambda scrape: scrape.value("relay_asleep") == 1)
    # Into the log, past the trigger that would ring.
    insert = "insert into changefeed.event (source, op, key) values ('public.workflow_execution', 'bulk', null)"
    await own.feed.execute(insert)
    await until(service.url, lambda scrape: scrape.value("relay_missed_bells_total") == 1)


async def test_nothing_in_it_says_who_is_connected(own: Site) -> None:
    service = await own.start()
    tenant = await own.tenant()
    await own.joined("websocket", tenant)
    await own.client("websocket", "no.token.atall").refusal()
    text = (await scraped(service.url)).text
    assert str(tenant.id) not in text
    names = set(re.findall(r"[{,]([a-z_]+)=", text))
    assert names <= {
        "transport",
        "type",
        "code",
        "outcome",
        "reason",
        "state",
        "table",
        "source",
        "topic",
        "version",
        "le",
    }


async def test_with_a_token_set_nobody_else_reads_it(own: Site) -> None:
    service = await own.start(metrics_token="a secret of the scraper's")
    async with httpx.AsyncClient(base_url=service.url) as client:
        for headers in ({}, {"Authorization": "Bearer another"}, {"Authorization": f"Bearer {SECRET}"}):
            answer = await client.get("/metrics", headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "token-missing")
    assert (await scraped(service.url, "a secret of the scraper's")).value("ready") == 1


async def test_without_a_database_it_still_answers_and_says_so(own: Site) -> None:
    service = own.services.begin()
    await service.listening()
    await service.readiness(200)
    admin = await asyncpg.connect(own.database.admin_dsn)
    name = own.database.name
    await admin.execute(f'alter database "{name}" connection limit 0')
    await admin.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and usename = 'changefeed'", name
    )
    found = await until(service.url, lambda scrape: scrape.value("relay_connected") == 0)
    assert found.value("ready") == 0
    await admin.execute(f'alter database "{name}" connection limit -1')
    await until(service.url, lambda scrape: scrape.value("ready") == 1)
    await admin.close()
