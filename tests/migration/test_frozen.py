"""changefeed/sql is the readable truth, the migrations are its frozen text, and every function explains itself."""

import re
from pathlib import Path

import pytest

from changefeed.sql import schema_files
from tests.support.database import ROOT

FUNCTIONS = [path for path in schema_files() if path.parent.name == "functions"]
HEADER = ("Purpose:", "Locks:", "Called by:")


def frozen() -> str:
    """The text of the first migration."""
    return (ROOT / "migrations" / "sql" / "0001_event_log.up.sql").read_text(encoding="utf-8")


def test_the_first_migration_is_the_text_of_the_schemas_files() -> None:
    """Not so: run `python tools/freeze.py`, as long as no release has been made with it."""
    assert frozen() == "\n".join(path.read_text(encoding="utf-8") for path in schema_files())


@pytest.mark.parametrize("path", FUNCTIONS, ids=lambda path: path.stem)
def test_a_function_has_a_file_of_its_own_that_says_what_it_is_for(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"^create function changefeed\.(\w+)", text, re.MULTILINE) == [path.stem]
    for line in HEADER:
        assert re.search(rf"^-- {line}", text, re.MULTILINE), line


@pytest.mark.parametrize("path", FUNCTIONS, ids=lambda path: path.stem)
def test_who_is_said_to_call_a_function_does(path: Path) -> None:
    callers = re.search(r"^-- Called by: (.*(?:\n--   .*)*)", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert callers is not None
    files = [path.with_stem(name) for name in re.findall(r"changefeed\.(\w+)", callers.group(1))]
    for file in filter(Path.exists, files):
        assert f"changefeed.{path.stem}(" in file.read_text(encoding="utf-8"), file.stem


@pytest.mark.parametrize("direction", ["up", "down"])
def test_every_revision_has_its_text_in_both_directions(direction: str) -> None:
    revisions = sorted((ROOT / "migrations" / "versions").glob("*.py"))
    assert [path.stem[:4] for path in revisions] == ["0001", "0002", "0003"]
    for path in revisions:
        assert (ROOT / "migrations" / "sql" / f"{path.stem}.{direction}.sql").is_file()
        assert f"{path.stem}.{direction}.sql" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "function", ["watch", "unwatch", "pause", "resume", "configure", "kick", "begin_epoch", "extend", "rotate", "epoch"]
)
def test_every_public_function_is_documented_with_its_parameters(function: str) -> None:
    text = (ROOT / "changefeed" / "sql" / "functions" / f"{function}.sql").read_text(encoding="utf-8")
    signature = re.search(r"create function changefeed\.\w+\(([^)]*)\)", text)
    assert signature is not None
    page = (ROOT / "docs" / "sql.md").read_text(encoding="utf-8")
    assert f"changefeed.{function}(" in page
    for parameter in filter(None, (part.strip().split(" ")[0] for part in signature.group(1).split(","))):
        assert f"`{parameter.strip(chr(34))}`" in page, parameter
