"""`/asyncapi.json`, and the page to read it. REST has its own at `/openapi.json`."""

from functools import cache

from fastapi import FastAPI
from starlette.responses import FileResponse, JSONResponse

from .asyncapi import document
from .page import SECURITY, STATIC


@cache
def _document() -> JSONResponse:
    return JSONResponse(document(), headers={"Cache-Control": "no-cache"})


def add_reference(app: FastAPI) -> None:
    """Adds both."""

    @app.get("/asyncapi.json", include_in_schema=False)
    async def asyncapi() -> JSONResponse:
        return _document()

    @app.get("/asyncapi", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "asyncapi.html", headers=SECURITY)
