"""When the hub says "refetch": bulk, truncate, owner changes, capture errors, what no message can hold, and a restart."""

import json

import pytest

from changefeed.event import Op
from changefeed.hub import CAPTURE_ERROR_PAUSE, MAX_SPREAD_MS
from changefeed.session import State
from tests.unit.hall import EXECUTION, NOTE, Hall, sent
from tests.unit.transactions import ANN, BOB, EPOCH, cursor, event


@pytest.fixture
def hall() -> Hall:
    return Hall()


@pytest.mark.parametrize("op", ["bulk", "truncate"])
def test_a_refetch_of_nobody_in_particular_is_for_everybody_who_may_see_the_source(hall: Hall, op: Op) -> None:
    everything, notes, others = (
        hall.session(ANN),
        hall.session(BOB, topics=frozenset({f"rows:{NOTE}"})),
        hall.session(topics=frozenset({"executions"})),
    )
    hall.publish(event(1, 11, op=op, owner=None, key=None, data=None))
    for session in (everything, notes):
        (message,) = sent(session)
        assert (message["type"], message["data"]) == ("rows-changed", {"source": NOTE, "reason": op})
        assert "user_id" not in message
    assert sent(others) == []


def test_a_refetch_of_one_owner_is_his(hall: Hall) -> None:
    ann, bob = hall.session(ANN), hall.session(BOB)
    hall.publish(event(1, 11, op="bulk", key=None, data='{"reason": "owner", "other": "bob"}'))
    assert [message["data"]["reason"] for message in sent(ann)] == ["owner"]
    assert sent(bob) == []


def test_what_may_have_missed_an_owner_change_is_converted_and_kept_so(hall: Hall) -> None:
    ann, bob = hall.session(ANN), hall.session(BOB)
    hall.publish(event(1, 11, op="bulk", key=None, data='{"reason": "owner", "other": "bob"}'), event(2, 12))
    assert [message["type"] for message in sent(ann)] == ["rows-changed", "rows-changed"]
    assert [message["type"] for message in sent(bob)] == ["rows-changed"]
    remembered = hall.hub.window.after(cursor(10), [ANN])
    assert remembered is not None
    assert [made.op for made in remembered] == ["bulk", "bulk"]


def test_a_capture_error_resyncs_the_source_for_whoever_may_see_it(hall: Hall) -> None:
    notes, others = hall.session(ANN), hall.session(topics=frozenset({"executions"}))
    hall.publish(event(1, 11, op="error", owner=None, key=None), place=cursor(12))
    (message,) = sent(notes)
    assert message["type"] == "resync"
    assert message["cursor"] == str(cursor(12))
    assert message["data"] == {"reason": "capture-error", "sources": [NOTE], "spread_ms": 10}
    assert sent(others) == []


def test_many_capture_errors_of_a_source_resync_at_once_and_then_every_ten_seconds(hall: Hall) -> None:
    session = hall.session(ANN)
    resyncs = []
    for second in range(25):
        hall.now = 1000.0 + second
        errors = [event(second + 1, 11 + second, op="error", owner=None, key=None)] if second < 15 else []
        hall.publish(*errors)
        resyncs += [second for message in sent(session) if message["type"] == "resync"]
    assert resyncs == [0, 10, 20], "and the last one comes after the last error"
    assert hall.hub.resyncs == {"capture-error": 3}


def test_each_source_has_a_pause_of_its_own(hall: Hall) -> None:
    session = hall.session(ANN)
    hall.publish(event(1, 11, op="error", owner=None, key=None))
    hall.now += CAPTURE_ERROR_PAUSE / 2
    hall.publish(event(2, 12, EXECUTION, op="error", owner=None, key=None))
    assert [message["data"]["sources"] for message in sent(session)] == [[NOTE], [EXECUTION]]


def test_a_resync_behind_events_that_wait_does_not_lead_back(hall: Hall) -> None:
    session = hall.session(ANN)
    hall.publish(event(1, 11), place=cursor(12))
    hall.publish(event(2, 12, op="error", owner=None, key=None), place=cursor(13))
    assert [(message["type"], message["cursor"]) for message in sent(session)] == [
        ("row-changed", str(cursor(12))),
        ("resync", str(cursor(12))),
    ]
    assert session.position == cursor(12)


def test_an_event_of_which_no_message_can_be_made_is_told_like_a_failed_capture(hall: Hall) -> None:
    session = hall.session(ANN)
    deep = '{"id": ' + "[" * 5000 + "]" * 5000 + "}"
    hall.publish(event(1, 11), event(2, 12, data=deep), event(3, 13))
    messages = sent(session)
    assert [message["type"] for message in messages] == ["row-changed", "row-changed", "resync"]
    assert messages[2]["data"]["reason"] == "capture-error"
    assert hall.hub.unmade == 1
    assert hall.hub.missed(session, [event(2, 12, data=deep)]) == ([], {NOTE})


def test_a_restart_drops_what_waits_and_everybody_refetches_everything(hall: Hall) -> None:
    live, lagging = hall.session(ANN), hall.session(BOB, max_messages=1)
    hall.publish(event(1, 11), event(2, 12, owner=BOB), event(3, 13, owner=BOB))
    new = cursor(5, epoch="f" * 16)
    hall.hub.restart(new, "epoch")
    for session in (live, lagging):
        assert session.state is State.LIVE
        (message,) = sent(session)
        assert (message["type"], message["cursor"]) == ("resync", str(new))
        assert message["data"] == {"reason": "epoch", "sources": None, "spread_ms": 10}
        assert session.position == new
    hall.publish(event(4, 5), place=cursor(6, epoch="f" * 16))
    assert sent(live)[0]["id"] == f"{'f' * 16}-4"


def test_a_restart_pays_what_was_owed(hall: Hall) -> None:
    session = hall.session(ANN)
    hall.publish(event(1, 11, op="error", owner=None, key=None))
    hall.publish(event(2, 12, op="error", owner=None, key=None))
    hall.hub.restart(cursor(20), "retention")
    hall.now += 2 * CAPTURE_ERROR_PAUSE
    hall.publish()
    assert [message["data"]["reason"] for message in sent(session)] == ["capture-error", "retention"]


@pytest.mark.parametrize(("epoch", "converted"), [(EPOCH, True), ("f" * 16, False)])
def test_owner_changes_are_remembered_within_an_epoch(hall: Hall, epoch: str, converted: bool) -> None:
    session = hall.session(ANN)
    hall.publish(event(1, 11, op="bulk", key=None, data='{"reason": "owner", "other": "bob"}'), page=True)
    hall.hub.restart(cursor(12, 20, [12], epoch), "retention")
    sent(session)
    hall.publish(event(2, 12), place=cursor(20, epoch=epoch))
    assert sent(session)[0]["type"] == ("rows-changed" if converted else "row-changed")


def test_a_window_that_a_restart_has_overtaken_is_over(hall: Hall) -> None:
    hall.publish(event(1, 11), page=True)
    hall.hub.restart(cursor(20), "retention")
    assert hall.session(ANN).state is State.LIVE


def test_the_more_are_connected_the_wider_they_spread(hall: Hall) -> None:
    def spread() -> int:
        data = json.loads(hall.hub.resync_text("epoch", None))["data"]
        assert isinstance(data["spread_ms"], int)
        return data["spread_ms"]

    assert spread() == 0
    for _ in range(10):
        hall.session(ANN)
    assert spread() == 50
    hall.hub._sessions = {hall.session() for _ in range(10_000)}
    assert spread() == MAX_SPREAD_MS
