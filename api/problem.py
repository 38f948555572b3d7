"""REST errors as problem documents (RFC 9457): one shape, the same codes as the `error` messages of the sockets."""

from starlette.responses import JSONResponse

from .closing import RETRY_AFTER_SECONDS, Ending

STATUS = {1012: 503, 4400: 400, 4401: 401, 4403: 403, 4408: 401, 4409: 429, 4410: 401, 4413: 503, 4429: 429, 4500: 503}
"""Close code → HTTP status."""


class Problem(JSONResponse):
    """`application/problem+json`."""

    media_type = "application/problem+json"


def problem(status: int, code: str, detail: str, **members: object) -> Problem:
    """A problem document. `code` is stable, `detail` is for people."""
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status in (429, 503):
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    content = {"type": "about:blank", "title": TITLES[status], "status": status, "code": code, "detail": detail}
    return Problem(content | members, status, headers)


def problem_of(ending: Ending) -> Problem:
    """The same refusal as on a socket."""
    return problem(STATUS[ending.code], ending.error or "restart", ending.message or "The server is going away.")


TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
