"""The pure half of the statistics on a desk: events, answers and the time come from the test; numbers are made up."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from changefeed.cursor import Cursor, Snapshot
from changefeed.event import Event, Op, Owner
from changefeed.figures import DashboardStatistics, DashboardStatsUpdate, ExecutionStatistics, TaskStatistics
from changefeed.message import Message
from changefeed.session import Session
from changefeed.shape import InexpressibleError
from changefeed.statistic import Job, Statistic
from changefeed.statistics import Statistics
from tests.statistics.watching import Clock

SOURCE = "public.t"
PLACE = Cursor("e" * 16, Snapshot.parse("1:1:"))


class Count:
    """A tally that counts what it follows."""

    def __init__(self, count: int = 0, good_for: float | None = None) -> None:
        self.count = count
        self.good_for = good_for

    def apply(self, event: Event) -> None:
        if event.op != "insert":
            raise InexpressibleError
        self.count += 1

    def differs(self, other: "Count") -> bool:
        return self.count != other.count


def body(tallies: Sequence[Count]) -> DashboardStatistics:
    total = sum(tally.count for tally in tallies)
    executions = ExecutionStatistics(
        total=total, by_status={}, success_rate=None, avg_duration_seconds=None, cost_usd="0"
    )
    return DashboardStatistics(
        executions=executions, agent_tasks=TaskStatistics(total=0, by_status={}, tokens=0, cost_usd="0")
    )


class AdminUpdate(Message):
    type: str = "admin-update"
    data: DashboardStatistics


OWNED = Statistic("mine", DashboardStatsUpdate, frozenset({SOURCE}), 1.0, body, owned=True, rest=1.0)
ADMIN = Statistic("all", AdminUpdate, frozenset({SOURCE}), 1.0, body)
ROUGH = Statistic("rough", AdminUpdate, frozenset({SOURCE}), 1.0, body, exact=False)


class Desk:
    """The statistics, what they woke, and the answers that the test gives them."""

    def __init__(self, *offered: Statistic, check_interval: float = 1e9) -> None:
        self.clock = Clock()
        self.woken = 0
        self.statistics = Statistics(offered or (OWNED, ADMIN), self.clock, check_interval, self._woken)
        self.xid = 10
        self.jobs: list[Job] = []

    def _woken(self) -> None:
        self.woken += 1

    def join(self, *owners: str, admin: bool = False, topics: frozenset[str] | None = None) -> Session:
        session = Session(
            owners=frozenset(Owner("user", owner) for owner in owners),
            admin=admin,
            position=PLACE,
            max_messages=10,
            max_bytes=10_000,
            wake=lambda: None,
            topics=topics,
        )
        self.statistics.welcome(session)
        return session

    def happen(self, owner: str | None, op: Op = "insert") -> None:
        """One event, published."""
        self.xid += 1
        who = None if owner is None else Owner("user", owner)
        event = Event(self.xid, self.xid, datetime.now(UTC), SOURCE, op, "{}", who, "{}", None, partial=False)
        self.statistics.published([event], Cursor(PLACE.epoch, self.snapshot()))

    def snapshot(self) -> Snapshot:
        """As of now: it includes everything that has happened."""
        return Snapshot.parse(f"{self.xid + 1}:{self.xid + 1}:")

    def work(
        self, count: int | Callable[[Owner | None], int] = 0, good_for: float | None = None, took: float = 0.0
    ) -> list[Job]:
        """Answer every job. Returns them."""
        done = []
        while (job := self.statistics.next_job()) is not None:
            self.clock.now += took
            numbers = {
                scope: Count(count if isinstance(count, int) else count(scope), good_for) for scope in job.ledgers
            }
            self.statistics.finish(job, self.snapshot(), numbers)
            done.append(job)
        self.jobs += done
        return done

    def tell(self, session: Session) -> list[int]:
        """Tell what is due. Returns the totals that the session was sent."""
        self.statistics.tell()
        return [json.loads(item.text)["data"]["executions"]["total"] for item in session.take(self.clock.now)]
