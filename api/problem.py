"""REST errors as problem documents (RFC 9457): one shape, the same codes as the `error` messages of the sockets.

The refusals of our own routes are made here, also where they run inside a host's application, whose other routes keep
the errors that they have. Nothing that was sent is repeated in one.
"""

import math
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .closing import RETRY_AFTER_SECONDS, Ending

STATUS = {1012: 503, 4400: 400, 4401: 401, 4403: 403, 4408: 401, 4409: 429, 4410: 401, 4413: 503, 4429: 429, 4500: 503}
"""Close code → HTTP status."""


class Problem(JSONResponse):
    """`application/problem+json`."""

    media_type = "application/problem+json"


class ProblemRoute(APIRoute):
    """A route whose parameters, where they are not understood, are refused with a problem document."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As FastAPI has it."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except RequestValidationError as error:
                faults = (f"{fault['loc'][-1]}: {fault['msg']}" for fault in error.errors())
                return problem(400, "parameter-invalid", f"{'; '.join(faults)}."[:500])

        return handle


def problem(
    status: int, code: str, detail: str, *, retry_after: float = RETRY_AFTER_SECONDS, **members: object
) -> Problem:
    """A problem document. `code` is stable, `detail` is for people, `retry_after` (seconds) for what may be tried again."""
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status in (429, 503):
        headers["Retry-After"] = str(math.ceil(retry_after))
    title = HTTPStatus(status).phrase
    content = {"type": "about:blank", "title": title, "status": status, "code": code, "detail": detail}
    return Problem(content | members, status, headers)


def problem_of(ending: Ending) -> Problem:
    """The same refusal as on a socket."""
    after = RETRY_AFTER_SECONDS if ending.after_ms is None else ending.after_ms / 1000
    return problem(STATUS[ending.code], ending.error, ending.message, retry_after=after)
