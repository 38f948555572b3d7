"""All of doctor's checks, one after the other.

Guarantees: a check that cannot be made is a warning of its own and stops no other; where there is no database, no
installation, or only a standby, what could be found is told and nothing is guessed. Nothing of the application's is locked or
written: plans are made but not run, and the canary is a table of doctor's own.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from ...errors import ChangefeedError
from ...relay import LOST
from ...settings import Settings
from ..watched import watched
from . import activity, canary, expressions, installation, leadership, log, notifications, roles, server, tables, tokens
from .finding import Finding, Patient, problem, warning

CONNECT_SECONDS = 10.0
STATEMENT_SECONDS = 60.0
PATIENCE = 300.0

Check = Callable[[Patient], Awaitable[Sequence[Finding]]]

CHECKS: tuple[Check, ...] = (
    server.clock,
    server.connections,
    notifications.listen,
    notifications.doorbell,
    notifications.queue,
    tables.watched_tables,
    expressions.owner_expressions,
    roles.silent_roles,
    leadership.leader,
    leadership.lease,
    leadership.locks,
    log.capture_errors,
    log.leaves,
    log.retention,
    activity.prepared,
    activity.long_transactions,
    tokens.keys,
    canary.flown,
)
"""In the order in which they are told."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything that was found."""

    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong; warnings do not count."""
        return all(finding.level != "problem" for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "healthy": self.healthy,
            "findings": [
                {"name": one.name, "level": one.level, "sentence": one.sentence, "remedy": one.remedy}
                for one in self.findings
            ],
        }

    def as_text(self) -> str:
        """For people."""
        lines = []
        for one in self.findings:
            lines.append(f"{one.level:<8} {one.name}: {one.sentence}")
            if one.remedy is not None:
                lines.append(f"         -> {one.remedy}")
        counts = [sum(one.level == level for one in self.findings) for level in ("problem", "warning")]
        return "\n".join([*lines, "", f"{counts[0]} problems, {counts[1]} warnings"])


def misconfigured(sentence: str) -> Diagnosis:
    """Where the settings cannot work, so that nothing else can be asked."""
    return Diagnosis((problem("settings", sentence, "mend the setting that is named, and ask again"),))


async def diagnosis_of(
    settings: Settings,
    *,
    clock: Callable[[], float] = time.time,
    patience: float = PATIENCE,
    checks: Sequence[Check] = CHECKS,
) -> Diagnosis:
    """Never raises because of what it finds. `patience`: seconds after which a transaction is long."""
    if settings.dsn is None:
        told = problem("connection", "no database is configured", "set DATABASE_URL (or CHANGEFEED_DSN)")
        return Diagnosis((told,))
    try:
        connection = await asyncpg.connect(
            settings.dsn,
            timeout=CONNECT_SECONDS,
            command_timeout=STATEMENT_SECONDS,
            server_settings={"application_name": "changefeed doctor"},
        )
    except (*LOST, ValueError) as error:
        sentence = f"the database cannot be reached: {_text(error)}"
        return Diagnosis((problem("connection", sentence, "is it running, and is DATABASE_URL right?"),))
    try:
        return Diagnosis(tuple(await _findings(settings, connection, clock, patience, checks)))
    finally:
        connection.terminate()


async def _findings(
    settings: Settings, connection: Any, clock: Callable[[], float], patience: float, checks: Sequence[Check]
) -> list[Finding]:
    found: list[Finding] = []
    try:
        found += await installation.installed(connection)
        if any(one.level == "problem" for one in found):
            return found
        patient = Patient(settings, connection, await watched(connection), clock, patience)
    except LOST as error:
        sentence = f"what stands in the schema changefeed cannot be read: {_text(error)}"
        remedy = "set CHANGEFEED_DSN (or DATABASE_URL) to the role that has installed it"
        return [*found, problem("schema", sentence, remedy)]
    for check in checks:
        try:
            found += await check(patient)
        except (ChangefeedError, *LOST) as error:
            name = check.__name__.replace("_", "-")
            found.append(warning(name, f"this could not be checked: {_text(error)}", "mend that, and ask again"))
    return found


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
