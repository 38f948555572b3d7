"""The environment tool: makes `.venv` without ensurepip, does nothing twice, and says what is wrong."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).resolve().parent.parent.parent / "tools"

# A project that needs no package index: its build backend stands beside it.
PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "sample"
version = "1"
dynamic = []
optional-dependencies = { demo = [], test = [] }
"""
BACKEND = """
import pathlib
import zipfile

def build_editable(folder, settings=None, metadata=None):
    name = "sample-1-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder, name), "w") as wheel:
        wheel.writestr("sample.pth", str(pathlib.Path.cwd()))
        info = "sample-1.dist-info"
        extras = "Provides-Extra: demo\\nProvides-Extra: test\\n"
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\\nName: sample\\nVersion: 1\\n{extras}")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copytree(TOOLS, tmp_path / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "backend.py").write_text(BACKEND)
    (tmp_path / "sample.py").write_text("answer = 42\n")
    return tmp_path


def prepare(project: Path, *extras: str) -> subprocess.CompletedProcess[str]:
    tool = [sys.executable, str(project / "tools" / "environment.py"), *extras]
    return subprocess.run(tool, check=False, capture_output=True, text=True)


def test_the_environment_imports_the_project_and_is_made_once(project: Path) -> None:
    made = prepare(project, "demo")
    assert made.returncode == 0, made.stderr
    python = project / ".venv" / "bin" / "python"
    answer = subprocess.run(
        [python, "-c", "import sample; print(sample.answer)"],
        check=True,
        capture_output=True,
        text=True,
        cwd="/",
    )
    assert answer.stdout == "42\n"

    # Nothing asked ensurepip, which Debian's python lacks.
    assert subprocess.run([python, "-c", "import pip"], check=False, capture_output=True).returncode == 1

    again = prepare(project, "demo")
    assert (again.returncode, again.stdout) == (0, "")

    more = prepare(project, "test")
    assert "installing .[demo,test]" in more.stdout
    assert prepare(project, "demo", "test").stdout == ""

    (project / "pyproject.toml").write_text(PROJECT.replace('version = "1"', 'version = "1" # changed'))
    assert "installing" in prepare(project, "demo").stdout


def test_an_environment_that_does_not_start_is_made_anew(project: Path) -> None:
    assert prepare(project).returncode == 0
    python = project / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python3")
    assert "making .venv" in prepare(project).stdout
    assert subprocess.run([python, "-c", "import sample"], check=False, cwd="/").returncode == 0


def test_a_missing_pip_wheel_is_named(project: Path) -> None:
    for wheel in (project / "tools").glob("pip-*.whl"):
        wheel.unlink()
    failed = prepare(project)
    assert failed.returncode == 1
    assert "pip wheel" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_failed_installation_is_an_error_and_is_tried_again(project: Path) -> None:
    (project / "backend.py").write_text(BACKEND.replace("import zipfile", "raise RuntimeError('no luck')"))
    failed = prepare(project)
    assert failed.returncode == 1
    assert "no luck" in failed.stderr
    assert "pip install" in failed.stderr
    (project / "backend.py").write_text(BACKEND)
    assert prepare(project).returncode == 0


def test_an_old_python_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    tool = loaded()
    monkeypatch.setattr(tool, "OLDEST", (99, 0))
    assert tool.main([]) == 1
    assert "make PYTHON=" in capsys.readouterr().err


def loaded() -> ModuleType:
    """The tool as a module, to be asked without a process of its own."""
    spec = importlib.util.spec_from_file_location("environment", TOOLS / "environment.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
