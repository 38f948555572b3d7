"""The client's types are those of `/asyncapi.json`: of a server that runs, and of no other document."""

import copy
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.service import Services

pytestmark = pytest.mark.needs("node")

STALE = "does not fit the server's AsyncAPI document any more"


def check(packages: Path, source: str | Path) -> subprocess.CompletedProcess[str]:
    command = ["node", "scripts/types.mjs", "--check", str(source)]
    return subprocess.run(command, cwd=packages.parent, check=False, capture_output=True, text=True)


def renamed_member(document: dict[str, Any]) -> None:
    members = document["components"]["schemas"]["ExecutionData"]["properties"]
    members["advance"] = members.pop("progress")


def other_kind(document: dict[str, Any]) -> None:
    document["components"]["schemas"]["ConflatedData"]["properties"]["count"]["type"] = "string"


def optional_member(document: dict[str, Any]) -> None:
    document["components"]["schemas"]["ConflatedData"]["required"] = []


def message_withdrawn(document: dict[str, Any]) -> None:
    document["operations"]["receive"]["messages"].pop()


def other_close_code(document: dict[str, Any]) -> None:
    closing = next(error for error in document["x-errors"] if error["closes"] is not None)
    closing["closes"] += 1


async def test_the_types_are_those_of_what_a_running_server_publishes_and_of_nothing_else(
    processes: Services, client_packages: Path, tmp_path: Path
) -> None:
    service = await processes.start()
    same = check(client_packages, f"{service.url}/asyncapi.json")
    assert (same.returncode, same.stderr) == (0, "")

    async with httpx.AsyncClient(base_url=service.url) as client:
        published = (await client.get("/asyncapi.json")).json()
    mutations: list[Callable[[dict[str, Any]], None]] = [
        renamed_member,
        other_kind,
        optional_member,
        message_withdrawn,
        other_close_code,
    ]
    for mutate in mutations:
        other = copy.deepcopy(published)
        mutate(other)
        file = tmp_path / f"{mutate.__name__}.json"
        file.write_text(json.dumps(other), encoding="utf-8")
        found = check(client_packages, file)
        assert found.returncode == 1, mutate.__name__
        assert STALE in found.stderr, mutate.__name__
