"""The bell: can we listen at all, do writers ring, and is there room in the server's queue?"""

from collections.abc import Sequence

from ...doorbell import Doorbell
from ...errors import ChangefeedError
from ...listener import Listener
from ...relay import LOST
from ...sql import query
from .activity import named
from .finding import Finding, Patient, ok, problem, warning

LISTEN_SECONDS = 5.0
QUEUE_WARNING, QUEUE_PROBLEM = 0.1, 0.5


async def listen(patient: Patient) -> Sequence[Finding]:
    """LISTEN, and hear one's own ring, the way a relay does."""
    assert patient.settings.dsn is not None
    try:
        async with Listener(patient.settings.dsn, Doorbell(), LISTEN_SECONDS):
            return [ok("listen", "a notification of our own is heard")]
    except ChangefeedError as error:
        return [problem("listen", str(error), "set CHANGEFEED_DSN to the server's own address, past any pooler")]
    except LOST as error:
        return [
            problem(
                "listen", f"the listener cannot connect: {error}", "mend that; every process needs one such connection"
            )
        ]


async def doorbell(patient: Patient) -> Sequence[Finding]:
    """Whether writers ring, and whether they should."""
    rings: bool = await patient.connection.fetchval("select doorbell from changefeed.state")
    prepared: int = await patient.connection.fetchval("select current_setting('max_prepared_transactions')::int")
    if rings and prepared:
        return [
            warning(
                "doorbell",
                f"writers ring, and max_prepared_transactions is {prepared}: PREPARE TRANSACTION fails in a transaction that has "
                "rung, which is one that changed a watched table while the relay slept",
                "leave CHANGEFEED_DOORBELL unset where PREPARE TRANSACTION is used, and start a relay",
            )
        ]
    if not rings and not prepared:
        return [
            warning(
                "doorbell",
                "writers do not ring, though they could: the relay polls all the time",
                "unset CHANGEFEED_DOORBELL; the leading relay switches it on within minutes",
            )
        ]
    if rings:
        return [ok("doorbell", "writers ring while the relay sleeps")]
    return [ok("doorbell", f"off, because max_prepared_transactions is {prepared}; the relay polls")]


async def queue(patient: Patient) -> Sequence[Finding]:
    """How full the queue of notifications is, and who may hold it up."""
    usage: float = await patient.connection.fetchval("select pg_notification_queue_usage()")
    if usage < QUEUE_WARNING:
        return [ok("notification-queue", f"{usage:.1%} of it is in use")]
    rows = await patient.connection.fetch(query("doctor_transactions"), 0.0, None)
    oldest = "; ".join(named(row) for row in rows) or "none that this role may see (grant pg_read_all_stats to see all)"
    say = problem if usage >= QUEUE_PROBLEM else warning
    return [
        say(
            "notification-queue",
            f"{usage:.0%} of it is in use, because a session that listens sits in an open transaction; when it is full, commits "
            f"that notify fail, in every database of the server. The oldest open transactions: {oldest}",
            "end that transaction, or its session: select pg_terminate_backend(PID)",
        )
    ]
