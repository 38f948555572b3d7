"""What `/openapi.json` says is what the service does: schemathesis asks a real process everything that it can think of.

All of its checks are on: no server error, no status, content type, header or body that is not described, what is described
as good is accepted, what is not is refused, and so are methods, missing tokens and bad ones. `conformance.py` adds who may be
answered what. The runs are small, and the same each time; `schemathesis.toml` says how.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import ignored_auth

from tests.api import conformance  # noqa: F401 - whose formats are known from then on
from tests.support.database import ROOT, Database, Databases
from tests.support.issuer import claims, token
from tests.support.service import Services, environment, services
from tests.support.site import Site, site

CONFIGURATION = ROOT / "tests" / "api" / "schemathesis.toml"
QUICK = ["--phases", "fuzzing", "--max-examples", "3", "--warnings", "off"]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def common_described(embedded: Databases) -> AsyncIterator[tuple[Database, Services]]:
    """A process that minds neither many requests nor many connections. A traceback in its log is a failure."""
    async with embedded.clone(migrated=True) as database:
        with services(database.feed_dsn) as running:
            await running.start(max_user_connections=10_000)
            yield database, running


@pytest.fixture
async def described(common_described: tuple[Database, Services]) -> AsyncIterator[Site]:
    async with site(*common_described) as found:
        yield found


async def conforms(process_url: str, role: str, bearer: str | None, *options: str) -> str:
    """A run of schemathesis that finds no fault. Returns what it printed."""
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIGURATION), "run", *options]
    header = [] if bearer is None else ["--header", f"Authorization: Bearer {bearer}"]
    process = await asyncio.create_subprocess_exec(
        *(*command, *header, f"{process_url}/openapi.json"),
        cwd=ROOT,
        env={**environment(), "CONFORMANCE_ROLE": role},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed = (await process.communicate())[0].decode()
    assert process.returncode == 0, printed
    assert "11 selected / 12 total" in printed
    return printed


async def test_an_administrator_is_answered_as_the_document_says(described: Site) -> None:
    tenant = await described.tenant()
    for _ in range(3):
        await tenant.task(await tenant.begin())
    printed = await conforms(described.service.url, "admin", tenant.token(role="admin"), "--max-examples", "10")
    for phase in ("Coverage", "Fuzzing", "Stateful"):
        assert f"✅ {phase}" in printed
    assert "WARNINGS" not in printed


BAD: dict[str, str | None] = {
    "no token": None,
    "nonsense": "nonsense",
    "an expired one": token(claims(exp=1)),
    "one of another key": token(claims(), "somebody else's secret, which is long enough"),
}


async def test_others_are_answered_as_the_document_says_and_never_what_is_not_theirs(described: Site) -> None:
    url = described.service.url
    user = (await described.tenant()).token()
    await asyncio.gather(
        conforms(url, "user", user, *QUICK), *(conforms(url, "nobody", bad, *QUICK) for bad in BAD.values())
    )


async def test_a_stream_begins_as_the_document_says(described: Site) -> None:
    """The one operation that is left out above, because it has no end."""
    url, bearer = described.service.url, (await described.tenant()).token()
    await asyncio.to_thread(read_beginnings, url, {"Authorization": f"Bearer {bearer}"})


def read_beginnings(url: str, authorization: dict[str, str]) -> None:
    document = httpx.get(f"{url}/openapi.json", verify=False).json()
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=url)
    operation = schema["/api/v1/events"]["GET"]
    statuses: set[int] = set()

    @settings(max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(case=st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in schemathesis.GenerationMode)))
    def read(case: schemathesis.Case[Any]) -> None:
        request: dict[str, Any] = case.as_transport_kwargs(headers=authorization)
        del request["cookies"]
        with client.stream(**request) as answer:
            if answer.status_code == 200:
                beginning = next(answer.iter_raw())
                assert beginning.startswith(b"retry: ")
            else:
                beginning = answer.read()
            statuses.add(answer.status_code)
        whole = httpx.Response(answer.status_code, headers=answer.headers, content=beginning, request=answer.request)
        whole.elapsed = answer.elapsed
        # The token is ours and a good one, which that check could not know: the runs above have tried bad ones.
        case.validate_response(whole, excluded_checks=[ignored_auth])

    with httpx.Client(verify=False) as client:
        read()
    assert statuses == {200, 400, 403}


async def test_no_page_is_served_that_needs_another_host(described: Site) -> None:
    async with httpx.AsyncClient(base_url=described.service.url, verify=False) as client:
        for path in ("/docs", "/redoc", "/docs/oauth2-redirect"):
            assert (await client.get(path)).status_code == 404
        for path in ("/", "/asyncapi"):
            page = await client.get(path)
            assert page.status_code == 200
            assert "://" not in page.text
        assert (await client.get("/openapi.json")).json()["openapi"].startswith("3.")
