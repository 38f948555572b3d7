"""The protocol as AsyncAPI 3, generated from the models that make and read the messages.

Served at `/asyncapi.json`, with a page to read it at `/asyncapi`. Nothing is written down twice: a message that is added to
`changefeed.messages` is here, and in the client's types, which are generated from the same. Pure.
"""

from typing import Any, get_args

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from changefeed.messages import ServerMessage
from changefeed.requests import ClientMessage

from .closing import CLOSE_CODES, ERRORS
from .greeting import VERSION

SCHEMAS = "#/components/schemas/"
MESSAGES = "#/components/messages/"
CHANNEL = "#/channels/dashboard"

DESCRIPTION = """Postgres changes for the user who owns the row, over one WebSocket at `/ws/dashboard` (also at
`/api/v1/stats/ws`). The same messages come as server-sent events from `/api/v1/events`, and by long poll from
`/api/v1/changes`. A client that offers the subprotocol `changefeed.v1` may get a JSON array of messages in a frame."""

PARAMETERS: dict[str, dict[str, Any]] = {
    "token": {"type": "string", "description": "A JSON Web Token, where no header can be sent and no ticket is used."},
    "ticket": {"type": "string", "description": "From POST /api/v1/ws-ticket: opens one WebSocket within 30 seconds."},
    "since": {
        "type": "string",
        "description": "The last cursor that was stored: what came after it is replayed first.",
    },
    "topics": {
        "type": "string",
        "format": "topics",
        "description": "Comma-separated. Without it: everything that the user may see.",
    },
    "mode": {"enum": ["log", "state"], "default": "log", "description": "Every message, or the newest of each row."},
    "min_interval": {
        "type": "integer",
        "minimum": 0,
        "maximum": 60000,
        "default": 0,
        "description": "Milliseconds between two deliveries.",
    },
}


def document() -> dict[str, Any]:
    """The whole of it, as JSON would have it."""
    sent, heard = _models(ServerMessage), _models(ClientMessage)
    _, definitions = models_json_schema(
        [(model, "serialization" if model in sent else "validation") for model in sent + heard],
        ref_template=SCHEMAS + "{model}",
    )
    for model in sent + heard:
        # Pydantic requires nothing that has a default; on the wire the type is what tells messages apart.
        schema = definitions["$defs"][model.__name__]
        schema["required"] = ["type", *(name for name in schema.get("required", ()) if name != "type")]
    messages = {_type(model): _message(model) for model in sent + heard}
    references = {name: {"$ref": MESSAGES + name} for name in messages}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "changefeed",
            "version": VERSION,
            "description": DESCRIPTION,
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "dashboard": {
                "address": "/ws/dashboard",
                "title": "Live dashboard",
                "messages": references,
                "bindings": {
                    "ws": {
                        "method": "GET",
                        "query": {"type": "object", "properties": PARAMETERS},
                        "bindingVersion": "0.1.0",
                    }
                },
            }
        },
        "operations": {
            "receive": _operation("send", "What the server sends.", [_type(model) for model in sent]),
            "send": _operation("receive", "What a client may send.", [_type(model) for model in heard]),
        },
        "components": {"messages": messages, "schemas": definitions["$defs"]},
        "x-close-codes": [{"code": c.code, "why": c.why, "client": c.client} for c in CLOSE_CODES],
        "x-errors": [
            {"code": name, "closes": code, "retry": retry, "meaning": meaning}
            for name, (code, retry, meaning) in ERRORS.items()
        ],
    }


def _models(union: Any) -> list[type[BaseModel]]:
    members, *_ = get_args(union)
    return list(get_args(members))


def _type(model: type[BaseModel]) -> str:
    """The message's `type`, which is the only value that its field may have."""
    name: str = get_args(model.model_fields["type"].annotation)[0]
    return name


def _message(model: type[BaseModel]) -> dict[str, Any]:
    name = _type(model)
    return {"name": name, "title": model.__name__, "payload": {"$ref": SCHEMAS + model.__name__}}


def _operation(action: str, summary: str, names: list[str]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": CHANNEL},
        "summary": summary,
        "messages": [{"$ref": f"{CHANNEL}/messages/{name}"} for name in names],
    }
