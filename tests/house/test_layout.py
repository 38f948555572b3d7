"""The rules of the code that a machine can check: contracts, sizes, names, layers, what the wheel holds."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDERS = ("changefeed", "api", "demo", "tools", "tests", "bench", "migrations")
MODULES = sorted(
    path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if "node_modules" not in path.parts
)
LONGEST_MODULE = 300
# Names that say nothing of what a module is about.
EMPTY_NAMES = {"base", "common", "helpers", "manager", "misc", "util", "utils"}
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_a_module_is_short_has_a_contract_and_is_finished(module: Path) -> None:
    text = module.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST_MODULE
    assert module.stem not in EMPTY_NAMES
    if text.strip():
        assert ast.get_docstring(ast.parse(text)), "opens without a docstring"
    if module != Path(__file__):
        assert not UNFINISHED.search(text)


def test_every_module_of_the_engine_has_its_layer() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (layers,) = [c["layers"] for c in settings["tool"]["importlinter"]["contracts"] if c["type"] == "layers"]
    placed = set(re.findall(r"changefeed\.(\w+)", " ".join(layers)))
    modules = {path.stem for path in (ROOT / "changefeed").glob("*.py")}
    packages = {path.parent.name for path in (ROOT / "changefeed").glob("*/__init__.py")}
    unplaced = (modules | packages) - placed - {"__init__", "__main__"}
    assert not unplaced, f"name them in the layers of pyproject.toml: {sorted(unplaced)}"


def test_the_wheel_holds_the_service_and_the_migrations_under_names_that_shadow_nothing(
    tmp_path: Path,
) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", tmp_path],
        check=True,
        capture_output=True,
        cwd=ROOT,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"changefeed", "changefeed_api"}
    assert "changefeed/_migrations/env.py" in names
    assert any(name.startswith("changefeed/_migrations/sql/") for name in names)
    assert "changefeed/py.typed" in names


def test_the_project_and_its_service_are_importable_in_the_development_environment() -> None:
    check = "import api, changefeed, demo; print(api.__file__, changefeed.__file__)"
    found = subprocess.run([sys.executable, "-c", check], check=True, capture_output=True, text=True, cwd="/")
    assert found.stdout.split() == [
        str(ROOT / "api" / "__init__.py"),
        str(ROOT / "changefeed" / "__init__.py"),
    ]
