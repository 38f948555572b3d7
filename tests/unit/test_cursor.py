"""A cursor survives the way to a client and back; whatever else comes back is refused; its algebra is that of sets."""

import random
import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from changefeed.cursor import MAX_LENGTH, Cursor, Snapshot
from changefeed.errors import ChangefeedError, CursorError

LARGEST = (1 << 63) - 1
epochs = st.text("0123456789abcdef", min_size=16, max_size=16)


@st.composite
def snapshots(draw: st.DrawFn, largest: int = LARGEST, widest: int = 200, fewest: int = 1) -> Snapshot:
    """As Postgres makes them: the oldest running transaction is xmin, all of them are below xmax."""
    xmin = draw(st.integers(fewest, largest - widest))
    others = draw(st.sets(st.integers(xmin, xmin + widest - 1), max_size=30))
    xmax = draw(st.integers(max(others, default=xmin - 1) + 1, xmin + widest))
    return Snapshot(xmin, xmax, frozenset(others))


cursors = st.builds(Cursor, epochs, snapshots())


@given(cursors)
def test_what_a_client_gets_it_can_send_back(cursor: Cursor) -> None:
    text = str(cursor)
    assert Cursor.parse(text) == cursor
    assert set(text) <= set(string.hexdigits.lower() + ".-"), "needs no escaping in JSON, a URL or a header"


@given(snapshots())
def test_a_snapshot_reads_and_writes_the_text_of_postgres(snapshot: Snapshot) -> None:
    assert Snapshot.parse(str(snapshot)) == snapshot


def test_the_text_of_postgres_is_understood() -> None:
    assert Snapshot.parse("10:20:10,14,15") == Snapshot(10, 20, frozenset({10, 14, 15}))
    assert Snapshot.parse("10:10:") == Snapshot(10, 10, frozenset())


def accepted(text: str) -> Cursor | None:
    try:
        return Cursor.parse(text)
    except CursorError:
        return None


@given(cursors, st.data())
def test_a_text_that_was_touched_is_refused_or_is_another_cursors_own(cursor: Cursor, data: st.DataObject) -> None:
    text = str(cursor)
    place = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.integers(0, 2))
    put = data.draw(st.text("0123456789abcdefABCDEF.- +\n\x00_xX٣", max_size=2))
    changed = text[:place] + put + text[place + cut :]
    assume(changed != text)
    found = accepted(changed)
    assert found is None or str(found) == changed


@given(st.text(max_size=60) | st.from_regex(r"[0-9a-f]{16}\.[0-9a-f]{1,17}\.[0-9a-f]{1,17}(\.[0-9a-f-]{0,12})?"))
def test_no_text_is_accepted_but_one_that_a_cursor_would_have(text: str) -> None:
    found = accepted(text)
    assert found is None or str(found) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0123456789abcdef",
        "0123456789abcdef.5",
        "0123456789abcdef.5.",
        "0123456789abcdef.0.5",  # there is no transaction 0
        "0123456789abcdef.05.0",
        "0123456789abcdef.5.00",
        "0123456789abcdef.5.2.",
        "0123456789abcdef.5.2.1-",
        "0123456789abcdef.5.2.00",
        "0123456789abcdef.5.2.2",  # xip beyond xmax
        "0123456789abcdef.5.3.1-0",  # twice the same
        "0123456789abcdef.5.0.0",
        "0123456789abcdef.5.2\n",
        " 0123456789abcdef.5.2",
        "0123456789ABCDEF.5.2",
        "0123456789abcdef.٣.2",
        "0123456789abcde.5.2",
        "0123456789abcdef.ffffffffffffffff.0",  # beyond xid8's signed half
        "0123456789abcdef.7fffffffffffffff.1",
        "0123456789abcdef.5.2.0.0",
        "0123456789abcdef.5.2." + "0-" * 9000 + "1",
    ],
)
def test_what_no_cursor_writes_is_refused(text: str) -> None:
    with pytest.raises(CursorError):
        Cursor.parse(text)


def test_the_refusal_says_what_to_do_and_does_not_repeat_what_was_sent() -> None:
    with pytest.raises(ChangefeedError, match="Send back one that came with a message, unchanged") as refused:
        Cursor.parse("<script>")
    assert "script" not in str(refused.value)


def test_two_thousand_transactions_in_flight_fit_into_a_cursor() -> None:
    running = random.Random(1).sample(range(1 << 40, (1 << 40) + 200_000), 2000)
    cursor = Cursor("0" * 16, Snapshot(min(running), max(running) + 1, frozenset(running)))
    assert len(str(cursor)) <= MAX_LENGTH
    assert Cursor.parse(str(cursor)) == cursor


def test_a_cursor_that_is_longer_than_any_we_give_out_is_refused() -> None:
    running = frozenset(range(1 << 40, (1 << 40) + 9000))
    text = str(Cursor("0" * 16, Snapshot(1 << 40, (1 << 40) + 9000, running)))
    assert len(text) > MAX_LENGTH
    with pytest.raises(CursorError):
        Cursor.parse(text)


small = snapshots(largest=40, widest=12)


def seen(snapshot: Snapshot) -> set[int]:
    """The definition: every transaction below xmin, and up to xmax those that are not in xip."""
    return {xid for xid in range(60) if xid < snapshot.xmin or (xid < snapshot.xmax and xid not in snapshot.xip)}


@given(small, st.integers(0, 59))
def test_a_snapshot_includes_what_had_ended(snapshot: Snapshot, xid: int) -> None:
    assert snapshot.includes(xid) == (xid in seen(snapshot))


@given(small, small)
def test_to_cover_is_to_see_at_least_as_much(one: Snapshot, other: Snapshot) -> None:
    # In a snapshot of Postgres the transaction before xmax has ended: it is what xmax was taken from.
    assume(other.xmax - 1 not in other.xip)
    assert one.covers(other) == (seen(one) >= seen(other))


@given(small, small)
def test_to_cover_is_never_promised_too_much(one: Snapshot, other: Snapshot) -> None:
    if one.covers(other):
        assert seen(one) >= seen(other)


@given(small, small, small)
def test_covering_is_reflexive_and_transitive(one: Snapshot, other: Snapshot, third: Snapshot) -> None:
    assert one.covers(one)
    if one.covers(other) and other.covers(third):
        assert one.covers(third)


@given(small, st.integers(0, 59))
def test_what_comes_after_a_cursor_is_what_its_query_asks_for(snapshot: Snapshot, xid: int) -> None:
    assert (not snapshot.includes(xid)) == (xid >= snapshot.xmax or xid in snapshot.xip)
