"""Long polling, for where nothing else gets through: each answer is a whole short connection.

The first message is `ready`; what follows is what was missed since `since`, or else the first thing that happens within
`wait` seconds. The answer's cursor is the next request's `since`.
"""

from typing import Any

from starlette.responses import Response

from .client import Client
from .closing import Ending
from .problem import problem_of

LONGEST_WAIT = 30.0


async def answer(client: Client, wait: float, *, resuming: bool) -> Response:
    """The response. Raises asyncpg.PostgresError, OSError, TimeoutError where the log could not be read."""
    subscription = client.subscription
    async with subscription:
        items = await subscription.next(0.0)
        # Without a place to come from, the place is all that the client needs to begin.
        if items is not None and len(items) == 1 and resuming and not subscription.session.waiting:
            more = await subscription.next(wait)
            items = None if more is None else items + more
        while items is not None and subscription.session.waiting:
            more = await subscription.next(0.0)
            if not more:
                break
            items += more
        if items is None:
            return problem_of(client.ending or Ending(1012))
        texts = ",".join(item.whole() for item in items)
        body = f'{{"messages":[{texts}],"cursor":"{subscription.place()}"}}'
        return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})


def parameters() -> dict[str, Any]:
    """How `wait` is described to OpenAPI."""
    return {"ge": 0, "le": LONGEST_WAIT, "description": "Seconds to wait for the first message."}
