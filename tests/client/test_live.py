"""The client against the service and a real PostgreSQL: its tests that need a server run here, and none is left out."""

import asyncio
import json
import os
import subprocess
from pathlib import Path

import pytest

from demo import host
from demo.__main__ import psql_command
from tests.support.database import Database
from tests.support.issuer import claims, token
from tests.support.service import Services

pytestmark = pytest.mark.needs("node")

FILES = ["test/live.test.ts", "test/live.model.test.ts"]


async def test_every_state_and_every_event_against_the_service(
    database: Database, processes: Services, client_packages: Path, tmp_path: Path
) -> None:
    await host.seed(database.app_dsn)
    service = await processes.start()
    facts = tmp_path / "demo.json"
    facts.write_text(
        json.dumps(
            {
                "url": service.url,
                "psql": psql_command(database.app_dsn),
                "tokens": {
                    "user1": token(claims(sub=str(host.USER1))),
                    "user2": token(claims(sub=str(host.USER2))),
                    "admin": token(claims(sub=str(host.ADMIN), role="admin")),
                },
                "execution_id": str(host.EXECUTION),
            }
        ),
        encoding="utf-8",
    )
    found = tmp_path / "found.json"
    command = ["npx", "vitest", "run", "--no-file-parallelism", "--reporter=json", f"--outputFile={found}", *FILES]
    run = await asyncio.to_thread(
        subprocess.run,
        command,
        cwd=client_packages.parent,
        env={**os.environ, "CHANGEFEED_DEMO": str(facts)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert found.exists(), run.stdout[-4000:] + run.stderr[-4000:]
    results = json.loads(found.read_text(encoding="utf-8"))
    tests = [test for file in results["testResults"] for test in file["assertionResults"]]
    assert [(test["fullName"], test["failureMessages"]) for test in tests if test["status"] != "passed"] == []
    assert len(results["testResults"]) == len(FILES)
    assert (run.returncode, results["numPendingTests"]) == (0, 0)
