"""The client's own suite and checks, so that one command runs everything."""

import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("node")


@pytest.mark.parametrize("script", ["check", "test"])
def test_the_clients_own(script: str, client_packages: Path) -> None:
    run = subprocess.run(
        ["npm", "run", "--silent", script], cwd=client_packages.parent, check=False, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-4000:]
