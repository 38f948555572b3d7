"""How `changefeed serve` and `changefeed relay` write their logs: as lines for people, or one JSON object a line.

A library leaves logging to its host, so only these two commands set anything up. In JSON each record has `time` (UTC), `level`,
`logger`, `message`, and whatever members it was given; a traceback is one of them, so that a record is always one line.
Nothing here keeps secrets: `censors` do, which the service brings along (see `api/redaction`).
"""

import json
import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from .message import rfc3339

TEXT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "color_message", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """As logging has it."""
        members: dict[str, Any] = {
            "time": rfc3339(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        members |= {name: value for name, value in record.__dict__.items() if name not in _STANDARD | members.keys()}
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            members["traceback"] = record.exc_text
        if record.stack_info:
            members["stack"] = record.stack_info
        # What JSON does not know is written as its text: a log must never fail its caller.
        return json.dumps(members, default=str)


def configuration(log_format: str, censors: Iterable[str] = ()) -> dict[str, Any]:
    """For logging.config.dictConfig, and for uvicorn, whose workers are configured anew. `censors`: filters, by their names."""
    filters = {name: {"()": name} for name in censors}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": filters,
        "formatters": {"lines": {"()": "changefeed.logs.JsonFormatter"} if log_format == "json" else {"format": TEXT}},
        # On the handler, so that no record passes, from whichever logger it comes.
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines", "filters": list(filters)}},
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        "loggers": {name: {"level": "INFO"} for name in ("uvicorn", "uvicorn.access", "uvicorn.error", "changefeed")},
    }
