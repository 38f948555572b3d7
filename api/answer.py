"""One REST answer: who asks is found out, what is asked for is read, and it goes out with its cursor, or as a problem.

Guarantees: nothing is read for somebody who may not see it; an answer that is what the asker has already costs no body
(`ETag`, 304), and still brings the newest cursor; whatever fails is a problem document that says what to do. Never cached
by anybody between us and the asker.
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request
from pydantic import BaseModel
from starlette.responses import Response

from changefeed.catalogue import LACKING, STALE
from changefeed.cursor import Cursor
from changefeed.errors import ChangefeedError
from changefeed.pages import PlaceError
from changefeed.relay import LOST

from .asker import identified
from .closing import Ending
from .description import PROBLEM
from .identity import Identity
from .problem import problem, problem_of
from .service import RefusedError, Service
from .snapshot import HEADER

logger = logging.getLogger("changefeed.rest")

READ_SECONDS = 30.0

Answer = tuple[BaseModel, Cursor | None]


class NotThereError(ChangefeedError):
    """What was asked for is no part of this installation; the text says how to make it one."""


RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "headers": {
            HEADER: {
                "description": "The place in the log of this very answer: subscribe with `since` it, and nothing is missed.",
                "schema": {"type": "string"},
            },
            "ETag": {"description": "Send it back as If-None-Match.", "schema": {"type": "string"}},
        },
    },
    304: {"description": "The answer is what it was when it had the ETag in If-None-Match."},
    **PROBLEM,
}


async def answered(
    request: Request, service: Service, read: Callable[[Identity], Awaitable[Answer]], *, admin: bool = False
) -> Response:
    """What `read` gives for whoever asks. `admin`: for administrators alone."""
    try:
        identity, _ = await identified(request, service)
        if admin and not identity.admin:
            return problem(403, "admin-only", "This is for administrators. CHANGEFEED_ADMIN_CLAIM says who is one.")
        async with asyncio.timeout(READ_SECONDS):
            try:
                body, cursor = await read(identity)
            except STALE:
                # The host's tables may have changed since we looked at them. Once more, having looked again.
                service.feed.catalogue.forget()
                body, cursor = await read(identity)
    except RefusedError as refused:
        return problem_of(refused.ending)
    except PlaceError as error:
        return problem(400, "parameter-invalid", str(error))
    except NotThereError as error:
        return problem(404, "not-there", str(error))
    except LACKING as error:
        logger.warning("the settings name something that the database lacks: %s: %s", type(error).__name__, error)
        return problem(404, "not-there", f"The settings name something that the database lacks: {error}.")
    except (ChangefeedError, *LOST) as error:
        logger.warning("a REST answer could not be read: %s: %s", type(error).__name__, error)
        return problem_of(Ending.of("internal"))
    return _response(request, body, cursor)


def _response(request: Request, body: BaseModel, cursor: Cursor | None) -> Response:
    content = body.model_dump_json(exclude_unset=True).encode()
    tag = f'W/"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Authorization"}
    if cursor is not None:
        headers[HEADER] = str(cursor)
    known = {one.strip() for one in request.headers.get("if-none-match", "").split(",")}
    if tag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type="application/json", headers=headers)
