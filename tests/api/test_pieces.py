"""How much is sent at a time: never much, whatever it is, and all of it in the end."""

import pytest

from api.pieces import BATCH, PIECE_BYTES, pieces, portions
from changefeed.session import Item


@pytest.mark.parametrize("sizes", [[], [10], [10] * 1000, [20_000] * 50, [PIECE_BYTES * 3, 1, PIECE_BYTES, 1, 1]])
def test_messages_come_in_order_and_few_at_a_time(sizes: list[int]) -> None:
    items = [Item("execution-updated", "x" * size) for size in sizes]
    found = list(portions(items))
    assert [item for portion in found for item in portion] == items
    for portion in found:
        assert 1 <= len(portion) <= BATCH
        assert len(portion) == 1 or sum(item.size for item in portion) <= PIECE_BYTES


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, PIECE_BYTES + 1, PIECE_BYTES * 5 - 1])
def test_bytes_come_in_pieces(size: int) -> None:
    body = bytes(number % 251 for number in range(size))
    found = list(pieces(body))
    assert b"".join(found) == body
    assert all(0 < len(piece) <= PIECE_BYTES for piece in found)
