"""No token and no ticket in any log.

uvicorn writes the address of every request, query and all; at debug level also headers and frames; and any traceback
may quote what it choked on. `install()` puts a filter on the loggers of uvicorn, websockets, asyncio and our own, on those
that exist and on those that come, which rewrites each record before any handler sees it: message, arguments,
traceback and extras. Rather too much is taken out than too little. Other loggers of the host are left alone.
"""

import logging
import re
import traceback
from collections.abc import Mapping
from typing import Any

MASK = "***"

_FAMILIES = frozenset(
    {"uvicorn", "gunicorn", "hypercorn", "websockets", "asyncio", "fastapi", "starlette", "changefeed"}
    | {__name__.partition(".")[0]}
)
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}


def _encoded(word: str) -> str:
    """A pattern for a word of which any letter may be percent-encoded: the server will decode `%74oken` too."""
    return "".join(f"(?:{letter}|%{ord(letter):x}|%{ord(letter.upper()):x})" for letter in word)


_PATTERNS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # In a query: token=…, access_token=…, ticket=…
        rf"""((?:{_encoded("token")}|{_encoded("ticket")}|jwt|apikey)=)[^&\s"'<>]+""",
        # In JSON, or where a dict or a list of headers was printed: "token": "…"
        r"""((?:token|ticket|jwt|apikey|authorization|cookie)\\?["']\s*[:,]\s*b?\\?["'])[^"'\\]+""",
        # As a header: Authorization: …
        r"""((?:authorization|cookie)[ \t]*[:=][ \t]*)[^"'\r\n]+""",
        # As a subprotocol: bearer, … or ['bearer', '…']
        r"""(\bbearer["']?,[ \t]*b?["']?)[^\s"',)\]]+""",
        # Bearer …, but not the word before another word
        r"""(\bbearer[ \t]+)(?=[^\s"',]*[0-9]|[^\s"',]{20})[^\s"',]+""",
        # What begins as {" does in base64
        r"""()eyJ[\w-]{7,}(?:[.\w=-]|%2e)*""",
        # What begins as { and a blank does. It must not start anywhere in a long word: that would take for ever.
        r"""()(?<![\w-])e[wy][\w-]{8,}\.[\w-]{2,}\.[\w-]*""",
    )
]

_SIGNS = ("=", "token", "ticket", "jwt", "apikey", "authorization", "cookie", "bearer", "ey", "ew")
"""One of these is in every text in which a pattern finds something."""


class Redaction(logging.Filter):
    """Lets every record pass, without its secrets."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrites the record in place: whatever formats it afterwards finds nothing to tell."""
        # One by one and in their places, because uvicorn's formatter takes the arguments apart.
        if isinstance(record.args, Mapping):
            record.args = {name: _clean(value) for name, value in record.args.items()}
        elif record.args:
            record.args = tuple(_clean(value) for value in record.args)
        if record.name != "uvicorn.access":
            _clean_message(record)
        if record.exc_info:
            _clean_traceback(record)
        for name in ("exc_text", "stack_info"):
            if text := getattr(record, name):
                setattr(record, name, redact(text))
        for name in record.__dict__.keys() - _STANDARD:
            record.__dict__[name] = _clean(record.__dict__[name])
        return True


class _Filtered(logging.Logger):
    def __init__(self, name: str, level: int = logging.NOTSET) -> None:
        super().__init__(name, level)
        _attach(self)


def install() -> None:
    """Redact what these families of loggers write in this process, from now on. Idempotent."""
    for name in _FAMILIES:
        _attach(logging.getLogger(name))
    for logger in list(logging.Logger.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            _attach(logger)
    # Loggers do not inherit their parents' filters, so those that come later are made with one.
    current = logging.getLoggerClass()
    if not issubclass(current, _Filtered):
        logging.setLoggerClass(type("FilteredLogger", (_Filtered, current), {}))


def redact(text: str) -> str:
    """The text without anything that looks like a token or a ticket."""
    small = text.lower()
    # Most lines hold nothing of the kind, and seven patterns for each would be what a storm of connections costs most.
    # Outside of ASCII letters have more than two forms.
    if text.isascii() and not any(sign in small for sign in _SIGNS):
        return text
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\g<1>{MASK}", text)
    return text


def _attach(logger: logging.Logger) -> None:
    if logger.name.partition(".")[0] in _FAMILIES and not any(isinstance(f, Redaction) for f in logger.filters):
        logger.addFilter(Redaction())


def _clean(value: Any) -> Any:
    """The value itself, unless its text holds a secret: then the text without."""
    if value is None or isinstance(value, int | float):
        return value
    try:
        text = str(value)
    except Exception:  # a log record must never break its caller, and logging reports this one by itself
        return value
    clean = redact(text)
    return value if clean == text else clean


def _clean_message(record: logging.LogRecord) -> None:
    """A secret may also stand across the template and its arguments: `"token=%s", token`."""
    try:
        text = record.getMessage()
    except Exception:  # as above: arguments that do not fit the template
        return
    clean = redact(text)
    if clean != text:
        record.msg, record.args = clean, ()


def _clean_traceback(record: logging.LogRecord) -> None:
    if not isinstance(record.exc_info, tuple):
        return
    text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
    clean = redact(text)
    if clean != text:
        # Formatters that would print the exception anew must not have it.
        record.exc_text, record.exc_info = clean, None
