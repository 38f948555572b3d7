"""The published description of the protocol: valid, whole, and the same as the models."""

import json
from pathlib import Path

import jsonschema
import pytest

from api.asyncapi import document
from api.closing import CLOSE_CODES, ERRORS
from changefeed.messages import server_message
from changefeed.requests import client_message


def test_every_message_of_the_models_is_published_and_no_other() -> None:
    published = document()
    sent = {reference["$ref"].rpartition("/")[2] for reference in published["operations"]["receive"]["messages"]}
    heard = {reference["$ref"].rpartition("/")[2] for reference in published["operations"]["send"]["messages"]}
    assert sent == set(server_message.json_schema()["discriminator"]["mapping"])
    assert heard == set(client_message.json_schema()["discriminator"]["mapping"])
    assert set(published["components"]["messages"]) == sent | heard
    assert [entry["code"] for entry in published["x-close-codes"]] == [code.code for code in CLOSE_CODES]
    assert {entry["code"] for entry in published["x-errors"]} == set(ERRORS)


def test_every_reference_leads_somewhere() -> None:
    published = document()

    def follow(node: object) -> None:
        if isinstance(node, dict):
            if isinstance(reference := node.get("$ref"), str):
                at: object = published
                for part in reference.removeprefix("#/").split("/"):
                    assert isinstance(at, dict)
                    at = at[part]
            for value in node.values():
                follow(value)
        elif isinstance(node, list):
            for value in node:
                follow(value)

    follow(published)


def test_a_message_that_is_published_is_described_as_it_is_sent() -> None:
    published = document()
    schema = {**published["components"]["schemas"]["Pong"], "components": published["components"]}
    pong = {"type": "pong", "timestamp": "2026-01-01T00:00:00.000000Z", "data": {}}
    jsonschema.validate(pong, schema)
    for wrong in ({**pong, "more": 1}, {name: pong[name] for name in ("timestamp", "data")}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)
    for message in published["components"]["messages"].values():
        name = message["payload"]["$ref"].rpartition("/")[2]
        assert published["components"]["schemas"][name]["required"][0] == "type"


@pytest.mark.needs("node")
def test_it_is_a_valid_asyncapi_3_document(client_packages: Path) -> None:
    specification = client_packages / "@asyncapi" / "specs" / "schemas" / "3.0.0-without-$id.json"
    jsonschema.Draft7Validator(json.loads(specification.read_text(encoding="utf-8"))).validate(document())
