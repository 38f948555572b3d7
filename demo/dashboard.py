"""The example of `client/` and the API in one process, as a team would deliver them: `uvicorn demo.dashboard:app`.

The API is `api.app`, with its settings; what the example was built into (`python -m tools.example`) is at `/`, in the
place of the page that the API has there itself.
"""

from pathlib import Path

from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from api.app import app as api

BUILD = Path(__file__).resolve().parent.parent / "client" / "example" / "dist"

_files = StaticFiles(directory=BUILD, html=True, check_dir=False)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI application. Where nothing was built, `/` is answered with 404."""
    page = scope["type"] == "http" and (scope["path"] == "/" or scope["path"].startswith("/assets/"))
    await (_files if page else api)(scope, receive, send)
