"""Whatever place a client comes with, by whatever way, one of the three outcomes is the answer, and it is live from then on."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changefeed.cursor import Cursor, Snapshot
from tests.api.test_fuzz import often, text
from tests.support.site import Site
from tests.support.subscribers import Subscriber, WebSocketSubscriber
from tests.support.tenant import Tenant

Place = Callable[[Cursor], str]
"""What a client makes of the place that it was told."""


def formed(own: bool, epoch: str, first: int, width: int, running: list[int]) -> Place:
    """A place of the same form: near the true one, or anywhere; of this log, or of another."""

    def place(true: Cursor) -> str:
        begin = max(1, true.snapshot.xmax + first) if abs(first) < 1000 else abs(first)
        inside = frozenset(begin + step for step in running if step < width)
        return str(Cursor(true.epoch if own else epoch, Snapshot(begin, begin + width, inside)))

    return place


def edited(share: float, new: str) -> Place:
    """The true place, with some letters overwritten."""

    def place(true: Cursor) -> str:
        at = int(share * len(str(true)))
        return str(true)[:at] + new + str(true)[at + len(new) :]

    return place


places: st.SearchStrategy[Place] = st.one_of(
    st.builds(
        formed,
        st.booleans(),
        st.text("0123456789abcdef", min_size=16, max_size=16),
        st.integers(-900, 10) | st.integers(1, (1 << 63) - 1) | st.integers(1, 1 << 70),
        st.integers(0, 5000),
        st.lists(st.integers(0, 4999), max_size=400),
    ),
    st.builds(edited, st.floats(0, 1), st.text("0123456789abcdef.-", max_size=4) | text),
    text.filter(bool).map(lambda words: lambda _: words),
)


@often
@given(place=places, way=st.sampled_from(["longpoll", "sse", "last-event-id", "websocket", "auth", "subscribe"]))
async def test_any_place_leads_to_one_of_the_three_outcomes(fuzzed: Site, place: Place, way: str) -> None:
    tenant, other = await fuzzed.tenant(), await fuzzed.tenant()
    execution = await tenant.begin()
    # A place is nobody's: where it was told to somebody else it leads to one's own rows all the same.
    client = await fuzzed.joined("longpoll", other)
    true = Cursor.parse(str(client.cursor))
    since = place(true)
    await tenant.move(execution, 1)
    back, outcome = await arrived(fuzzed, tenant, way, since)
    assert outcome in ("fresh", "replayed", "resync")
    # What is none of our places is never taken for one.
    assert outcome == "resync" or Cursor.parse(since).epoch == true.epoch
    # And whatever came of it, changes come from now on, to him alone.
    await tenant.move(execution, 2)
    await back.until("execution-updated", progress=2)
    assert {message["user_id"] for message in back.seen if message["type"].startswith("execution-")} == {str(tenant.id)}


async def arrived(fuzzed: Site, tenant: Tenant, way: str, since: str) -> tuple[Subscriber, str]:
    """A client that has come with this place, and the outcome that it was told. Places that no message may hold come as words."""
    if way not in ("auth", "subscribe"):
        transport = "sse" if way == "last-event-id" else way
        back = fuzzed.client(transport, tenant)
        if way == "last-event-id":
            back.headers["Last-Event-ID"] = "".join(letter for letter in since if " " < letter < "\x7f") or "x"
        else:
            back.parameters["since"] = since
        return back, (await (await back.open()).next())["data"]["outcome"]
    back = fuzzed.client("websocket", None if way == "auth" else tenant)
    assert isinstance(back, WebSocketSubscriber)
    await back.open()
    if way == "auth":
        await back.say({"type": "auth", "token": tenant.token(), "since": since})
        return back, (await back.next())["data"]["outcome"]
    assert (await back.next())["data"]["outcome"] == "fresh"
    await back.say({"type": "subscribe", "since": since})
    return back, (await back.until("subscribed"))["data"]["outcome"]


@pytest.mark.parametrize("letters", [16_385, 40_000, 1_000_000])
async def test_a_gigantic_place_is_refused_and_whoever_is_connected_stays_so(fuzzed: Site, letters: int) -> None:
    tenant, since = await fuzzed.tenant(), "0123456789abcdef." + "5" * letters
    client = await fuzzed.joined("websocket", tenant)
    assert isinstance(client, WebSocketSubscriber)
    await client.say({"type": "subscribe", "since": since})
    error = await client.until("error")
    assert error["data"]["code"] == ("message-invalid" if letters < 65_536 else "message-too-large")
    if letters < 65_536:
        await client.say("ping")
        await client.until("pong")
        for transport in ("sse", "longpoll"):
            end = await fuzzed.client(transport, tenant, since=since).refusal()
            assert (end.status, end.error) == (400, "parameter-invalid")
