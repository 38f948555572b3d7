"""A write that was in flight while its row's owner changed does not reach the former owner afterwards; nor is more undone."""

import json

import pytest

from changefeed import handover
from changefeed.cursor import Snapshot
from changefeed.event import Event, Owner
from changefeed.handover import Handovers
from tests.unit.transactions import ANN, BOB, event

CAT = Owner("user", "cat")


def gives(former: Owner, to: Owner | None, xid: int, seq: int, source: str = "public.note") -> list[Event]:
    """The two events of one owner change, as the trigger on the parent writes them."""
    said = [event(seq, xid, source, "bulk", None, former, data({"reason": "owner", "other": to and to.value}))]
    if to is not None:
        said.append(event(seq + 1, xid, source, "bulk", None, to, data({"reason": "owner", "other": former.value})))
    return said


def data(members: dict[str, str | None]) -> str:
    return json.dumps(members)


def told(events: list[Event]) -> list[tuple[str, Owner | None]]:
    """What each event says, and to whom."""
    return [("refetch" if event.op == "bulk" else event.op, event.owner) for event in events]


def delivered(handovers: Handovers, *events: Event) -> list[tuple[str, Owner | None]]:
    return told(list(handovers.delivered(events)))


def after_a_handover(window: Snapshot, former: Owner = ANN, to: Owner | None = BOB) -> Handovers:
    """Transaction 50 has handed over, and that was delivered in a window that ended at this snapshot."""
    handovers = Handovers()
    list(handovers.delivered(gives(former, to, xid=50, seq=500)))
    handovers.settle(window)
    return handovers


IN_FLIGHT = Snapshot(40, 60, frozenset({40, 55}))
"""40 began before the handover's transaction, 55 after it; both go on."""


@pytest.mark.parametrize("xid", [40, 55])
def test_a_write_that_was_in_flight_becomes_a_refetch_for_both(xid: int) -> None:
    handovers = after_a_handover(IN_FLIGHT)
    assert delivered(handovers, event(510, xid)) == [("refetch", ANN), ("refetch", BOB)]


def test_the_refetch_names_no_row_and_keeps_its_place_in_the_log() -> None:
    (first, second) = after_a_handover(IN_FLIGHT).delivered([event(510, 40, before='{"a": 1}', partial=True)])
    for converted in (first, second):
        assert (converted.seq, converted.xid, converted.source) == (510, 40, "public.note")
        assert (converted.key, converted.before, converted.partial) == (None, None, False)
        assert converted.values() == {"reason": "owner"}


def test_a_write_that_began_after_the_delivery_is_delivered() -> None:
    handovers = after_a_handover(IN_FLIGHT)
    assert delivered(handovers, event(510, 60), event(511, 1000)) == [("update", ANN), ("update", ANN)]


def test_in_the_same_window_what_was_written_before_is_delivered_before() -> None:
    events = [event(499, 49), *gives(ANN, BOB, 50, 500), event(502, 51)]
    assert delivered(Handovers(), *events) == [
        ("update", ANN),
        ("refetch", ANN),
        ("refetch", BOB),
        ("refetch", ANN),
        ("refetch", BOB),
    ]


def test_a_later_window_puts_nobody_in_doubt_who_began_after_the_first() -> None:
    handovers = after_a_handover(IN_FLIGHT)
    handovers.settle(Snapshot(61, 90, frozenset({61, 70})))
    assert delivered(handovers, event(510, 61), event(511, 70)) == [("update", ANN), ("update", ANN)]


def test_pages_of_one_window_are_one_window() -> None:
    handovers = Handovers()
    delivered(handovers, *gives(ANN, BOB, 50, 500))
    assert delivered(handovers, event(502, 51)) == [("refetch", ANN), ("refetch", BOB)]
    handovers.settle(Snapshot(60, 60, frozenset()))
    assert delivered(handovers, event(503, 60)) == [("update", ANN)]


def test_the_handing_transactions_own_writes_are_delivered() -> None:
    events = [event(499, 50), *gives(ANN, BOB, 50, 500), event(502, 50, owner=BOB)]
    assert delivered(Handovers(), *events) == [("update", ANN), ("refetch", ANN), ("refetch", BOB), ("update", BOB)]


def test_of_several_changes_in_one_transaction_its_own_writes_have_seen_each() -> None:
    events = [*gives(ANN, BOB, 50, 500), *gives(BOB, ANN, 50, 502), event(504, 50)]
    assert delivered(Handovers(), *events)[-1] == ("update", ANN)


@pytest.mark.parametrize("xid", [40, 55, 60, 1000])
def test_a_writer_with_a_snapshot_of_its_own_is_judged_by_that(xid: int) -> None:
    handovers = after_a_handover(IN_FLIGHT)
    before, since = Snapshot(40, 50, frozenset({40})), Snapshot(60, 60, frozenset())
    assert delivered(handovers, event(510, xid, seen=before)) == [("refetch", ANN), ("refetch", BOB)]
    assert delivered(handovers, event(511, xid, seen=since)) == [("update", ANN)]


def test_a_snapshot_that_saw_this_change_and_not_an_earlier_one_is_not_trusted() -> None:
    handovers = Handovers()
    # 50 committed before 45, though it is the younger one.
    delivered(handovers, *gives(ANN, CAT, 50, 500), *gives(ANN, BOB, 45, 510))
    handovers.settle(Snapshot(60, 60, frozenset()))
    seen = Snapshot(45, 51, frozenset({45}))
    assert delivered(handovers, event(520, 70, seen=seen)) == [("refetch", ANN), ("refetch", BOB)]


def test_the_new_owners_own_writes_are_left_alone() -> None:
    handovers = after_a_handover(IN_FLIGHT)
    assert delivered(handovers, event(510, 40, owner=BOB)) == [("update", BOB)]
    assert len(handovers) == 1


def test_other_owners_and_other_sources_are_left_alone() -> None:
    handovers = after_a_handover(IN_FLIGHT)
    assert delivered(handovers, event(510, 40, owner=CAT)) == [("update", CAT)]
    assert delivered(handovers, event(511, 40, source="public.other")) == [("update", ANN)]
    assert delivered(handovers, event(512, 40, owner=None)) == [("update", None)]


def test_an_owner_of_one_kind_is_not_that_of_another() -> None:
    acme, ann = Owner("org", "acme"), Owner("org", "ann")
    handovers = after_a_handover(IN_FLIGHT, former=acme, to=ann)
    assert delivered(handovers, event(510, 40, owner=acme)) == [("refetch", acme), ("refetch", ann)]
    assert delivered(handovers, event(511, 40, owner=ANN)) == [("update", ANN)]


def test_where_nobody_owns_it_now_the_former_owner_alone_is_told() -> None:
    assert delivered(after_a_handover(IN_FLIGHT, to=None), event(510, 40)) == [("refetch", ANN)]


def test_everybody_who_may_own_it_now_is_told() -> None:
    handovers = Handovers()
    delivered(handovers, *gives(ANN, CAT, 50, 500), *gives(ANN, BOB, 51, 502))
    handovers.settle(IN_FLIGHT)
    assert delivered(handovers, event(510, 40)) == [("refetch", ANN), ("refetch", BOB), ("refetch", CAT)]


def test_a_transaction_is_told_of_once_in_a_batch() -> None:
    handovers = after_a_handover(IN_FLIGHT)
    writes = [event(510 + n, 40) for n in range(5)]
    assert delivered(handovers, *writes, event(520, 55)) == 2 * [("refetch", ANN), ("refetch", BOB)]


def test_given_away_and_back_both_are_known() -> None:
    handovers = Handovers()
    delivered(handovers, *gives(ANN, BOB, 50, 500), *gives(BOB, ANN, 50, 502))
    handovers.settle(IN_FLIGHT)
    assert len(handovers) == 2
    assert delivered(handovers, event(510, 40)) == [("refetch", ANN), ("refetch", BOB)]
    assert delivered(handovers, event(511, 40, owner=BOB)) == [("refetch", BOB), ("refetch", ANN)]


def test_a_transaction_that_hands_over_many_rows_is_remembered_once() -> None:
    handovers = Handovers()
    for row in range(100):
        delivered(handovers, *gives(ANN, BOB, 50, 500 + 2 * row))
    assert len(handovers) == 1
    handovers.settle(IN_FLIGHT)
    assert delivered(handovers, event(800, 40)) == [("refetch", ANN), ("refetch", BOB)]


def test_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "REMEMBERED", 3)
    handovers = Handovers()
    for number in range(5):
        delivered(handovers, *gives(Owner("user", f"u{number}"), BOB, 50 + number, 500 + 2 * number))
    handovers.settle(IN_FLIGHT)
    assert len(handovers) == 3
    assert delivered(handovers, event(600, 40, owner=Owner("user", "u1"))) == [("update", Owner("user", "u1"))]
    assert delivered(handovers, event(601, 40, owner=Owner("user", "u2")))[0] == ("refetch", Owner("user", "u2"))


def test_one_that_was_in_the_log_already_is_judged_by_the_place_we_began_at() -> None:
    handovers = Handovers()
    for said in gives(ANN, BOB, 50, 500):
        handovers.note(said, IN_FLIGHT)
    assert delivered(handovers, event(510, 40)) == [("refetch", ANN), ("refetch", BOB)]
    assert delivered(handovers, event(511, 60)) == [("update", ANN)]


def test_a_bulk_event_of_another_reason_hands_over_nothing() -> None:
    handovers = Handovers()
    delivered(handovers, event(500, 50, op="bulk", key=None, data=data({"reason": "bulk", "other": "bob"})))
    delivered(handovers, event(501, 50, op="bulk", key=None, owner=None, data=data({"reason": "owner"})))
    delivered(handovers, event(502, 50, data=data({"reason": "owner", "other": "a column of the row"})))
    assert len(handovers) == 0


class TestReadingOn:
    """For somebody who comes back with a place, perhaps from another process than this one."""

    @staticmethod
    def read(handovers: Handovers, since: Snapshot, *events: Event) -> list[tuple[str, Owner | None]]:
        return told(list(handovers.converted(events, since)))

    def test_who_has_not_heard_of_the_change_gets_what_was_his_before_it(self) -> None:
        handovers = after_a_handover(Snapshot(60, 60, frozenset()))
        before = Snapshot(40, 48, frozenset({40}))
        assert self.read(handovers, before, event(499, 40), *gives(ANN, BOB, 50, 500)) == [
            ("update", ANN),
            ("refetch", ANN),
            ("refetch", BOB),
        ]

    def test_who_has_heard_of_it_from_another_process_gets_nothing_after(self) -> None:
        # We read both in one window, the write first; the other process read them in two, the change first.
        handovers = after_a_handover(Snapshot(60, 60, frozenset()))
        since = Snapshot(40, 52, frozenset({40}))
        assert self.read(handovers, since, event(499, 40)) == [("refetch", ANN), ("refetch", BOB)]

    def test_a_process_that_began_after_both_knows_it_too(self) -> None:
        handovers = Handovers()
        for said in gives(ANN, BOB, 50, 500):
            handovers.note(said, Snapshot(70, 70, frozenset()))
        since = Snapshot(40, 52, frozenset({40}))
        assert self.read(handovers, since, event(499, 40)) == [("refetch", ANN), ("refetch", BOB)]
        assert self.read(handovers, since, event(600, 71)) == [("update", ANN)]

    def test_who_was_sent_a_part_of_the_window_and_reads_it_anew_gets_it_no_more_either(self) -> None:
        # His buffer overflowed after the change had been sent: he goes on from before it, and the write is in the log now.
        handovers = after_a_handover(IN_FLIGHT)
        before = Snapshot(40, 48, frozenset({40}))
        assert self.read(handovers, before, event(499, 40)) == [("refetch", ANN), ("refetch", BOB)]

    def test_while_the_window_is_open_nothing_is_certain(self) -> None:
        handovers = Handovers()
        list(handovers.delivered(gives(ANN, BOB, 50, 500)))
        assert self.read(handovers, Snapshot(40, 48, frozenset({40})), event(499, 40))[0] == ("refetch", ANN)

    def test_a_snapshot_of_its_own_counts_here_too(self) -> None:
        handovers = after_a_handover(Snapshot(60, 60, frozenset()))
        seen = Snapshot(45, 45, frozenset())
        early, late = Snapshot(40, 48, frozenset({40})), Snapshot(40, 52, frozenset({40}))
        assert self.read(handovers, early, event(499, 40, seen=seen)) == [("update", ANN)]
        assert self.read(handovers, late, event(499, 40, seen=seen)) == [("refetch", ANN), ("refetch", BOB)]
        assert self.read(handovers, late, event(510, 65, seen=seen)) == [("refetch", ANN), ("refetch", BOB)]


def test_a_writer_whose_id_is_beyond_what_the_window_knows_may_have_been_running() -> None:
    handovers = Handovers()
    list(handovers.delivered(gives(ANN, BOB, xid=50, seq=500)))
    # The latest that had ended was 50; 51 and 52 were running, which the snapshot does not say.
    handovers.settle(Snapshot(51, 51, frozenset()), begun=53)
    assert delivered(handovers, event(510, 52)) == [("refetch", ANN), ("refetch", BOB)]
    assert delivered(handovers, event(511, 53)) == [("update", ANN)]
