"""The client's own suite and checks, so that one command runs everything, and what its package holds when it is published."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

import tools.example

pytestmark = pytest.mark.needs("node")

IMPORTED = """
const core = await import("changefeed-client");
const { default: manifest } = await import("changefeed-client/package.json", { with: { type: "json" } });
const feed = new core.Changefeed({ url: "http://127.0.0.1:1", getToken: () => null });
console.log(JSON.stringify([manifest.version, feed.getSnapshot().state, Object.keys(core).sort()]));
"""


@pytest.mark.parametrize("script", ["check", "test"])
def test_the_clients_own(script: str, client_packages: Path, tmp_path: Path) -> None:
    # In a copy: the checks build everything anew, and what is built here may be on somebody's screen.
    client = tmp_path / "client"
    shutil.copytree(client_packages.parent, client, ignore=shutil.ignore_patterns("node_modules", "dist"))
    (client / "node_modules").symlink_to(client_packages)
    # The types are checked against the models, which only this Python knows from there.
    known = {**os.environ, "PYTHON": sys.executable, "CHANGEFEED_TYPES_ROOT": str(client_packages.parent.parent)}
    command = ["npm", "run", "--silent", script]
    run = subprocess.run(command, cwd=client, check=False, capture_output=True, text=True, env=known)
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-4000:]


def test_the_package_holds_what_is_used_of_it_and_nothing_else(client_packages: Path, tmp_path: Path) -> None:
    client = client_packages.parent
    tools.example.build()
    pack = ["npm", "pack", "--ignore-scripts", "--silent", f"--pack-destination={tmp_path}"]
    name = subprocess.run(pack, cwd=client, check=True, capture_output=True, text=True).stdout.strip()
    installed = tmp_path / "node_modules" / "changefeed-client"
    with tarfile.open(tmp_path / name) as archive:
        archive.extractall(tmp_path, filter="data")
    installed.parent.mkdir()
    (tmp_path / "package").rename(installed)

    files = {str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file()}
    top = {path for path in files if "/" not in path}
    assert top == {"LICENSE", "README.md", "SPEC.md", "package.json"}
    assert {path.split("/")[0] for path in files - top} == {"dist", "src"}
    assert [path for path in files if "test" in path or "example" in path] == []
    manifest = json.loads((installed / "package.json").read_text(encoding="utf-8"))
    entries = [entry for entry in manifest["exports"].values() if isinstance(entry, dict)]
    named = {path.removeprefix("./") for entry in entries for path in entry.values()}
    assert len(named) == 4
    assert named <= files
    # Each module with its types and its map, whose source is there as well.
    modules = {path.removeprefix("src/").rpartition(".")[0] for path in files if path.startswith("src/")}
    kinds = (".js", ".js.map", ".d.ts", ".d.ts.map")
    assert {path for path in files if path.startswith("dist/")} == {
        f"dist/{one}{kind}" for one in modules for kind in kinds
    }

    # By itself, with nothing else installed: the core depends on nothing.
    (tmp_path / "application.mjs").write_text(IMPORTED, encoding="utf-8")
    run = subprocess.run(["node", "application.mjs"], cwd=tmp_path, check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == [manifest["version"], "offline", ["Changefeed", "SharedChangefeed"]]
