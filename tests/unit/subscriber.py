"""Sessions in each of their states, and what is offered to them."""

from typing import Any

from changefeed.buffer import Item
from changefeed.cursor import Cursor
from changefeed.session import Session, State
from tests.unit.transactions import ANN, cursor

START, LATER, NEW = cursor(10), cursor(20), cursor(30)


class Woken:
    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


def live(**wishes: Any) -> Session:
    given: dict[str, Any] = {"max_messages": 3, "max_bytes": 1 << 20, "wake": lambda: None} | wishes
    return Session(owners=frozenset({ANN}), admin=False, position=START, **given)


def lagging(**wishes: Any) -> Session:
    session = live(**wishes)
    session.lag(START)
    return session


def replaying(**wishes: Any) -> Session:
    session = lagging(**wishes)
    session.begin_replay()
    return session


def overflown(**wishes: Any) -> Session:
    """It replays, and its buffer has overflowed meanwhile."""
    session = replaying(**wishes)
    for number in range(4):
        offer(session, number)
    assert session.state is State.LAGGING
    assert session.reading
    return session


def closed(**wishes: Any) -> Session:
    session = live(**wishes)
    session.close()
    return session


def item(text: str, xid: int = 11, row: str | None = None) -> Item:
    return Item("row-changed", text, xid, row=("t", row))


def offer(
    session: Session, number: int, xid: int | None = None, before: Cursor = START, row: str | None = None
) -> bool:
    return session.offer(item(f'{{"n":{number}}}', xid or 11 + number, row or str(number)), before)


def texts(session: Session) -> list[str]:
    return [item.text for item in session.take(0.0)]
