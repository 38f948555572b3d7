"""One table of close codes and one of errors: the same in the code, in the documents, and with what PROTOCOL says."""

import ast
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter

from api.closing import CLOSE_CODES, ERRORS, RETRY_AFTER_SECONDS, Ending, error_text
from api.problem import STATUS, problem_of
from changefeed.errors import AuthenticationCode
from changefeed.messages import server_message
from changefeed.requests import client_message
from changefeed.settings import Settings

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")


def table(heading: str) -> list[list[str]]:
    """The rows of the first table under a heading of the page."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return rows[2:]


def test_the_close_codes_are_those_of_the_protocol() -> None:
    assert [row.code for row in CLOSE_CODES] == [
        1000, 1001, 1012, 4400, 4401, 4403, 4408, 4409, 4410, 4413, 4429, 4500,
    ]  # fmt: skip


def test_the_page_lists_the_close_codes_as_the_code_does() -> None:
    expected = [[str(row.code), row.why, row.client, str(STATUS.get(row.code, ""))] for row in CLOSE_CODES]
    assert table("Close codes") == expected


def test_the_page_lists_the_errors_as_the_code_does() -> None:
    expected = [
        [f"`{code}`", str(close or ""), "yes" if retry else "", meaning]
        for code, (close, retry, meaning) in ERRORS.items()
    ]
    assert table("Errors") == expected


def test_every_error_closes_with_a_code_that_is_listed_and_has_a_status() -> None:
    codes = {row.code for row in CLOSE_CODES}
    assert {close for close, _, _ in ERRORS.values() if close is not None} <= codes
    assert codes - {1000, 1001} == set(STATUS)


def test_everything_that_authentication_may_say_is_an_error_with_a_close_code() -> None:
    assert {code for code in get_args(AuthenticationCode) if ERRORS[code][0] is None} == set()


def said() -> set[str]:
    """Every error that the sources of the service name where one is told."""
    found: set[str] = set()
    for path in (ROOT / "api").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and path.name != "closing.py":
                found.add(node.value)
    return found


def test_no_error_is_listed_that_nobody_tells() -> None:
    elsewhere = set(get_args(AuthenticationCode)) | {"topic-unknown", "topic-forbidden"}
    assert set(ERRORS) - said() - elsewhere - {"restart"} == set()


@pytest.mark.parametrize("code", [code for code, (close, _, _) in ERRORS.items() if close is not None])
def test_an_ending_is_told_before_the_close_and_as_a_problem_document(code: str) -> None:
    close, retry, meaning = ERRORS[code]
    ending = Ending.of(code)
    ((kind, text),) = ending.texts()
    message = server_message.validate_json(text)
    assert (kind, message.type, ending.code) == ("error", "error", close)
    later = RETRY_AFTER_SECONDS if close in (4409, 4429) else None
    expected = {"code": code, "message": meaning, "retry": retry, "retry_after": later}
    assert message.data.model_dump() == expected

    problem = problem_of(ending)
    assert close is not None
    assert problem.status_code == STATUS[close]
    assert ("retry-after" in problem.headers) == (problem.status_code in (429, 503))
    assert ("www-authenticate" in problem.headers) == (problem.status_code == 401)


def test_who_is_sent_away_is_advised_first() -> None:
    ending = Ending.restart(700)
    assert [kind for kind, _ in ending.texts()] == ["reconnect", "error"]
    assert '"after_ms":700' in ending.texts()[0][1]
    # Whole seconds are all that HTTP has.
    assert problem_of(ending).headers["retry-after"] == "1"


def test_a_text_of_its_own_goes_before_the_usual_meaning() -> None:
    assert '"message":"Send a text."' in error_text("message-invalid", "Send a text.")
    assert Ending.of("internal", "The roof is on fire.").message == "The roof is on fire."


def test_what_the_page_says_of_times_and_sizes_is_what_the_settings_are() -> None:
    fields = Settings.model_fields
    assert re.search(r"within 5 seconds", PAGE)
    assert fields["auth_timeout"].default == 5
    assert re.search(r"after 20 seconds without a message", PAGE)
    assert (
        fields["heartbeat_interval"].default == fields["ping_interval"].default == fields["send_timeout"].default == 20
    )
    for name in ("max_message_bytes", "max_messages_per_minute", "buffer_messages", "buffer_bytes", "max_replay"):
        assert f'"{name}": {fields[name].default}' in PAGE


def test_the_page_names_every_message_of_the_server_and_of_the_client() -> None:
    types = kinds_of(server_message)
    assert {kind for kind in types if f"`{kind}`" not in PAGE and f'"type": "{kind}"' not in PAGE} == set()
    for kind in kinds_of(client_message):
        assert f'"type": "{kind}"' in PAGE


def kinds_of(messages: TypeAdapter[Any]) -> list[str]:
    """The types of a union of messages, as its JSON schema tells them apart."""
    return sorted(messages.json_schema()["discriminator"]["mapping"])
