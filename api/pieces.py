"""How much is sent at a time, however much there is to say.

Of a peer's taking all that can be seen is that one send after the other comes to its end. So what is sent at a time is
little: then whoever takes it slowly is told from whoever takes nothing, and an end need not wait until all is said. Pure.
"""

from collections.abc import Iterable, Iterator

from changefeed.session import Item

PIECE_BYTES = 32 << 10
BATCH = 100


def portions(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Messages, so many at a time: at most BATCH, and PIECE_BYTES of them unless a single one is larger."""
    portion: list[Item] = []
    size = 0
    for item in items:
        if portion and (len(portion) == BATCH or size + item.size > PIECE_BYTES):
            yield portion
            portion, size = [], 0
        portion.append(item)
        size += item.size
    if portion:
        yield portion


def pieces(body: bytes) -> Iterator[bytes]:
    """Bytes, so many at a time."""
    for first in range(0, len(body), PIECE_BYTES):
        yield body[first : first + PIECE_BYTES]
