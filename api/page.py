"""The dashboard page at `/`, served as it lies in `static/`, with what it needs to know of this installation.

No external host is contacted. `CHANGEFEED_DEMO_TOKENS` hands tokens to everybody who opens the page: for demonstrations.
"""

from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.responses import FileResponse, JSONResponse
from starlette.staticfiles import StaticFiles

from changefeed.settings import Settings

STATIC = Path(__file__).parent / "static"


def add_page(app: FastAPI, settings: Settings) -> None:
    """Adds `/`, `/static/...` and `/demo.json`."""

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    @app.get("/demo.json", include_in_schema=False)
    async def demo() -> JSONResponse:
        facts: dict[str, Any] = {"tokens": settings.demo_tokens or {}}
        return JSONResponse(facts, headers={"Cache-Control": "no-store"})

    app.mount("/static", StaticFiles(directory=STATIC), name="static")
