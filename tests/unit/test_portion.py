"""How much of the log is read at a time: it follows the size of the events, and whoever was too slow gets on."""

from hypothesis import given
from hypothesis import strategies as st

from changefeed.portion import FIRST_ROWS, PAGE_BYTES, Portion, parts
from changefeed.window import size
from tests.unit.transactions import event

SMALL, LARGE = event(), event(data='{"text": "' + "x" * 60_000 + '"}')


def test_small_events_fill_ever_larger_pages_and_large_ones_smaller_ones() -> None:
    portion = Portion(4 * FIRST_ROWS)
    rows = [portion.rows]
    for _ in range(4):
        portion.had([SMALL] * portion.rows, last=False)
        rows.append(portion.rows)
    assert rows == [FIRST_ROWS, 2 * FIRST_ROWS, 4 * FIRST_ROWS, 4 * FIRST_ROWS, 4 * FIRST_ROWS]
    portion.had([LARGE] * portion.rows, last=False)
    assert portion.rows == PAGE_BYTES // size(LARGE)
    portion.had([SMALL] * portion.rows, last=False)
    assert portion.rows == 2 * (PAGE_BYTES // size(LARGE))


def test_what_comes_after_the_last_page_may_be_of_any_size() -> None:
    portion = Portion(4 * FIRST_ROWS)
    portion.had([SMALL] * portion.rows, last=False)
    assert portion.rows == 2 * FIRST_ROWS
    portion.had([SMALL], last=True)
    assert portion.rows == FIRST_ROWS


def test_whoever_is_too_slow_gets_smaller_pages_until_everything_has_been_read() -> None:
    portion = Portion(FIRST_ROWS)
    portion.late()
    assert portion.rows == FIRST_ROWS // 4
    # Larger ones would be late again, and the window would begin anew each time.
    portion.had([SMALL] * portion.rows, last=False)
    assert portion.rows == FIRST_ROWS // 4
    for _ in range(20):
        portion.late()
    assert portion.rows == 1
    portion.had([LARGE], last=False)
    assert portion.rows == 1
    for _ in range(9):
        portion.had([], last=True)
    assert portion.rows == FIRST_ROWS


@given(st.lists(st.integers(0, PAGE_BYTES), max_size=8), st.integers(1, 6))
def test_parts_are_all_events_in_order_and_none_is_too_large(lengths: list[int], most: int) -> None:
    events = [event(number, data="x" * length) for number, length in enumerate(lengths)]
    found = list(parts(events, most))
    assert [event for part in found for event in part] == events
    assert all(found) or found == [[]]
    for part in found:
        assert len(part) <= most
        assert len(part) == 1 or sum(map(size, part)) <= PAGE_BYTES
