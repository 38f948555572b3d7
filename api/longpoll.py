"""Long polling, for where nothing else gets through: each answer is a whole short connection.

The first message is `ready`; what follows is what was missed since `since`, or else the first thing that happens within
`wait` seconds. The answer's cursor is the next request's `since`.
"""

import asyncio
from typing import Any

from starlette.responses import Response

from changefeed.session import Item

from .client import Client
from .closing import Ending
from .identity import Identity
from .live import CutShortError, LiveResponse, Tell, part
from .pieces import pieces
from .problem import problem_of
from .service import Service
from .wishes import Wishes

LONGEST_WAIT = 30.0


class Poll(LiveResponse):
    """One answer, as soon as there is one."""

    transport = "longpoll"

    def __init__(self, service: Service, identity: Identity, wishes: Wishes, wait: float) -> None:
        """`wait`: seconds."""
        super().__init__(service, identity, wishes)
        self._wait = wait

    async def speak(self, client: Client, tell: Tell) -> None:
        """The answer."""
        answer = await self._answer(client)
        await tell({"type": "http.response.start", "status": answer.status_code, "headers": answer.raw_headers})
        for number, piece in enumerate(pieces(bytes(answer.body))):
            # A refusal is one piece, and is told.
            if number and not client.welcome():
                raise CutShortError
            await tell(part(piece))
        # Waits until the peer has taken most of it.
        await tell({"type": "http.response.body", "body": b""})

    async def _answer(self, client: Client) -> Response:
        subscription = client.subscription
        if self._wishes.since is None:
            # Without a place to come from, the place is all that the client needs to begin.
            items = await client.within(0.0)
        else:
            deadline = asyncio.get_running_loop().time() + self._wait
            # What has come since the last answer would be told at once, however short that was ago.
            hold = min(self._wishes.min_interval, self._wait)
            subscription.hold(hold)
            first = await client.within(max(0.0, min(hold, client.seconds_left)))
            items = await self._with_news(client, first, deadline)
        while items is not None and subscription.session.waiting:
            more = await client.within(0.0)
            if not more:
                break
            items += more
        # The token may have expired while there was something to wait for.
        if items is None or not client.welcome():
            return problem_of(client.ending or Ending.of("too-slow"))
        texts = ",".join(item.whole() for item in items)
        body = f'{{"messages":[{texts}],"cursor":"{subscription.place()}"}}'
        return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})

    async def _with_news(self, client: Client, items: list[Item] | None, deadline: float) -> list[Item] | None:
        """The messages so far and, unless there is news among them, the next ones, up to `deadline` or the token's end.

        The first of each statistic is no news: it is told to whoever comes, changed or not, so an answer for its sake
        would be followed by the next question at once, and that by the next answer.
        """
        loop = asyncio.get_running_loop()
        old = {"ready", *self._service.feed.statistics.kinds}
        latest = items
        while items is not None and latest is not None:
            for item in latest:
                if item.kind not in old:
                    return items
                old.discard(item.kind)
            left = min(deadline - loop.time(), client.seconds_left)
            if left <= 0:
                return items
            latest = await client.within(left)
            items = None if latest is None else items + latest
        return None


def parameters() -> dict[str, Any]:
    """How `wait` is described to OpenAPI."""
    return {"ge": 0, "le": LONGEST_WAIT, "description": "Seconds to wait for the first message."}
