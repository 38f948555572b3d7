"""What doctor says of one thing, and what it has at hand while it looks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ...settings import Settings
from ..watched import Watched

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One of them. `name` is stable, for programs."""

    name: str
    level: Level
    sentence: str
    remedy: str | None = None
    """What mends it; None where nothing is wrong."""


@dataclass(frozen=True, slots=True)
class Patient:
    """The installation, and how it is looked at."""

    settings: Settings
    connection: Any
    """asyncpg's, as the role of the settings, without a transaction."""
    watches: Sequence[Watched]
    clock: Callable[[], float]
    """Unix seconds, of this machine."""
    patience: float
    """Seconds after which what should be short is long: a transaction, a prepared one, a lock."""


def ok(name: str, sentence: str) -> Finding:
    """Nothing is wrong with it."""
    return Finding(name, "ok", sentence)


def warning(name: str, sentence: str, remedy: str) -> Finding:
    """It works, but worse than it could, or not for long."""
    return Finding(name, "warning", sentence, remedy)


def problem(name: str, sentence: str, remedy: str) -> Finding:
    """Changes do not arrive, or will not."""
    return Finding(name, "problem", sentence, remedy)
