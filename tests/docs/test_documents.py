"""What can be checked of the documents by a machine: links, settings, commands, SQL functions, and that nothing is missing."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from changefeed.cli import app
from changefeed.settings import Settings
from changefeed.sql import schema_files
from tools import settings_page

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENTS = sorted(
    path
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "client").glob("*.md"))
    if "node_modules" not in path.parts
)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)#\s]+)[^)]*\)")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_link_inside_the_repository_leads_somewhere(document: Path) -> None:
    links = [link for link in LINK.findall(document.read_text(encoding="utf-8")) if "://" not in link]
    missing = [link for link in links if not (document.parent / link).exists()]
    assert not missing


def test_the_page_of_settings_is_current() -> None:
    assert settings_page.TARGET.read_text(encoding="utf-8") == settings_page.page(), (
        "run: python tools/settings_page.py"
    )


def test_every_setting_says_what_it_is_for() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_every_setting_that_a_document_names_exists() -> None:
    known = {f"CHANGEFEED_{name.upper()}" for name in Settings.model_fields}
    # The suite's own, and those of the client's example and of its tests.
    known |= {"CHANGEFEED_TEST_REQUIRE", "CHANGEFEED_TEST_IMAGE", "CHANGEFEED_URL", "CHANGEFEED_DEMO"}
    named = {name for path in DOCUMENTS for name in re.findall(r"\bCHANGEFEED_[A-Z_]+\b", path.read_text("utf-8"))}
    assert named <= known


def test_every_command_that_a_document_names_exists_and_every_command_is_named() -> None:
    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    texts = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    # The name of a database session is no command.
    texts = texts.replace("changefeed listener", "").replace("changefeed reader", "")
    named = set(re.findall(r"(?:^|`|\s{4})changefeed ([a-z]+)\b", texts, re.MULTILINE))
    assert named - known == set()
    assert known - named == set()


def test_every_sql_function_for_administrators_is_documented() -> None:
    called_by = re.compile(r"-- Called by:.*\badministrators\b")
    public = {path.stem for path in schema_files() if called_by.search(path.read_text(encoding="utf-8"))}
    documented = (ROOT / "docs" / "sql.md").read_text(encoding="utf-8")
    assert public
    assert [name for name in sorted(public) if f"changefeed.{name}" not in documented] == []


def test_a_decision_has_its_figures() -> None:
    decisions = [path for path in DOCUMENTS if path.parent.name == "decisions"]
    assert decisions
    for decision in decisions:
        assert re.search(r"\|.*\d.*\|", decision.read_text(encoding="utf-8")), f"{decision.name} has no figures"
