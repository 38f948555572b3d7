"""Rows as Postgres writes them into the log, and the message that the default mapping makes of one."""

import json
from decimal import Decimal
from typing import Any

from changefeed.event import Event, Op
from changefeed.mapping import EventMapping
from changefeed.settings import DEFAULT_SOURCES
from tests.unit.transactions import EPOCH, event

EXECUTION, TASK, NOTE = "public.workflow_execution", "public.agent_task", "public.note"
MAPPING = EventMapping(DEFAULT_SOURCES)


def sent(made: Event, topic: str, mapping: EventMapping = MAPPING) -> dict[str, Any]:
    """The message as a client gets it."""
    message: dict[str, Any] = json.loads(mapping.message(made, topic, EPOCH).text())
    return message


def row(columns: dict[str, Any]) -> str:
    """As Postgres writes it: a numeric with all its digits."""
    texts = {name: str(value) if isinstance(value, Decimal) else json.dumps(value) for name, value in columns.items()}
    return "{" + ", ".join(f'"{name}": {text}' for name, text in texts.items()) + "}"


def execution(op: Op = "update", before: dict[str, Any] | None = None, partial: bool = False, **columns: Any) -> Event:
    """One of an execution; `columns` beside its id."""
    data = None if op == "leave" else row({"id": "e1"} | columns)
    former = None if before is None else row(before)
    return event(source=EXECUTION, op=op, key='{"id": "e1"}', data=data, before=former, partial=partial)
