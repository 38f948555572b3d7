"""Live statistics: numbers that follow the log, told to whoever may see them.

Guarantees: an aggregate is run when the first subscriber of a scope comes, then the events are followed, so the cost is
that of the changes; what a delta cannot say makes the scope be asked anew; numbers are told only while they are known to
be those of the tables at a moment between the last event and now; state is kept only while somebody looks; from time to
time the numbers are compared with the tables, and a difference is counted and mended. A role that was lost is heeded at
the moment of telling.

Pure and synchronous: what is to be read comes out of `next_job`, what was read goes into `finish`; `reckoner` does both.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice

from .audience import Audience, Group, Scope
from .cursor import Cursor, Snapshot
from .event import Event
from .ledger import Ledger
from .message import Payload
from .session import Session
from .statistic import Job, Statistic
from .tally import Tally

BATCH = 200
"""Scopes that one aggregate is run for."""
CHECKED = 20
"""Scopes that are compared with the tables at a time, those first whose comparison is the longest ago."""
TOLD = 200
"""Sessions that are told at a time: others on the event loop must get their turn."""
FRESH_SECONDS = 0.1
"""Between two aggregates for the sake of those who have only just come: in a storm of them they share one."""
RETRY_SECONDS = 5.0
"""After an aggregate that failed."""
SWEEP_SECONDS = 5.0
"""Within which a session that has ended is forgotten."""
NEVER = float("inf")


class Statistics:
    """All statistics of one process: a tap of the hub."""

    def __init__(
        self,
        offered: Iterable[Statistic],
        clock: Callable[[], float],
        check_interval: float,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        """`clock`: seconds, never back. `wake`: called when `tell` or `next_job` may have something to do."""
        self._offered = {statistic.topic: statistic for statistic in offered}
        self._clock = clock
        self._check_interval = check_interval
        self._wake = wake
        self._audience = Audience({topic: statistic.interval for topic, statistic in self._offered.items()})
        self._ledgers: dict[str, dict[Scope, Ledger]] = {topic: {} for topic in self._offered}
        self._unknown: dict[str, dict[Scope, Ledger]] = {topic: {} for topic in self._offered}
        self._checking: set[tuple[str, Scope]] = set()
        self._place: Snapshot | None = None
        self._good_until: dict[str, float] = {}
        self._rest_until: dict[str, float] = {}
        self._fresh_from: dict[str, float] = {}
        self._check_at: dict[str, float] = {}
        self._failed_until: dict[str, float] = {}
        self._sweep_at = clock() + SWEEP_SECONDS
        self._by_source: dict[str, list[Statistic]] = {}
        for statistic in self._offered.values():
            for source in statistic.sources:
                self._by_source.setdefault(source, []).append(statistic)
        self.aggregates = dict.fromkeys(self._offered, 0)
        """Scopes for which SQL was asked since the start, by topic."""
        self.drift = dict.fromkeys(self._offered, 0)
        """Scopes whose numbers were found to differ from the tables, by topic."""
        self.told = dict.fromkeys(self._offered, 0)
        """Messages, by topic."""

    @property
    def topics(self) -> frozenset[str]:
        """Of all statistics."""
        return frozenset(self._offered)

    @property
    def kinds(self) -> Collection[str]:
        """The types of their messages."""
        return [statistic.kind for statistic in self._offered.values()]

    @property
    def scopes(self) -> int:
        """How many running numbers are kept."""
        return sum(map(len, self._ledgers.values()))

    def welcome(self, session: Session) -> None:
        """The session has come, or wants or may see something else now. What it wants is told to it once it is known.

        What still waits for it, and it may not see any more, is withdrawn.
        """
        now = self._clock()
        for topic, statistic in self._offered.items():
            if not statistic.for_session(session):
                self._audience.unseat(session, topic)
                session.withdraw(statistic.kind)
                continue
            scopes: frozenset[Scope] = frozenset(session.owners if statistic.owned else (None,))
            # Not as a difference of sets, which would look at everybody's ledger.
            for scope in [scope for scope in scopes if scope not in self._ledgers[topic]]:
                if not self._ledgers[topic]:
                    self._check_at[topic] = now + self._check_interval
                ledger = Ledger(exact=statistic.exact)
                self._ledgers[topic][scope] = self._unknown[topic][scope] = ledger
            if self._audience.seat(session, topic, scopes, now):
                session.withdraw(statistic.kind)
        self._wake()

    def published(self, events: Sequence[Event], cursor: Cursor | None) -> None:
        """See Tap."""
        stirred: set[tuple[str, Scope]] = set()
        for event in events:
            for statistic in self._by_source.get(event.source, ()):
                topic = statistic.topic
                for scope, ledger in self._concerned(statistic, event):
                    if ledger.follow(event):
                        stirred.add((topic, scope))
                        if not ledger.known:
                            self._unknown[topic][scope] = ledger
        if cursor is not None:
            self._place = cursor.snapshot
            for topic, scope in list(self._checking):
                self._compare(topic, scope)
        if stirred:
            now = self._clock()
            for topic, scope in stirred:
                self._audience.stir(topic, scope, now)
            self._wake()

    def restarted(self, cursor: Cursor) -> None:
        """See Tap."""
        self._place = cursor.snapshot
        self._forget(Ledger.restart)

    def refresh(self) -> None:
        """What is watched has changed: every number is read anew."""
        self._forget(Ledger.forget)

    def tell(self) -> None:
        """Send what is due, or some of it: then more is due at once."""
        now = self._clock()
        if now >= self._sweep_at:
            self._sweep_at = now + SWEEP_SECONDS
            self.sweep()
        for seat in islice(self._audience.due(now), TOLD):
            statistic = self._offered[seat.group.topic]
            if not statistic.for_session(seat.session):
                continue
            rendered = self._rendered(statistic, seat.group)
            # What is not known yet stirs again when it is.
            if rendered is None or rendered[0] == seat.told:
                continue
            seat.told, text = rendered
            seat.told_at = now
            self.told[statistic.topic] += 1
            seat.session.push(statistic.kind, text, newest=True)

    def sweep(self) -> None:
        """Forget sessions that have ended, and the numbers that nobody wants any more."""
        for session in self._audience.gone():
            for topic in self._audience.topics_of(session):
                self._audience.unseat(session, topic)
        for topic, ledgers in self._ledgers.items():
            for scope in [scope for scope in ledgers if not self._audience.wanted(topic, scope)]:
                del ledgers[scope]
                self._unknown[topic].pop(scope, None)
                self._checking.discard((topic, scope))

    def next_job(self) -> Job | None:
        """An aggregate to run now, if there is one. Everything in it counts as asked for."""
        now = self._clock()
        for topic, statistic in self._offered.items():
            if now >= self._good_until.get(topic, NEVER):
                del self._good_until[topic]
                self._forget(Ledger.forget, topic)
            if now < self._failed_until.get(topic, now):
                continue
            rested = now >= self._rest_until.get(topic, now)
            fresh = now >= self._fresh_from.get(topic, now)
            wanted = dict(islice(self._askable(statistic, rested, fresh), BATCH))
            if not wanted and rested and statistic.exact and now >= self._check_at.get(topic, NEVER):
                self._check_at[topic] = now + self._check_interval
                free = [(scope, ledger) for scope, ledger in self._ledgers[topic].items() if not ledger.asked]
                wanted = dict(sorted(free, key=lambda pair: pair[1].checked_at)[:CHECKED])
            if wanted:
                for ledger in wanted.values():
                    ledger.ask()
                self.aggregates[topic] += len(wanted)
                return Job(statistic, wanted, now)
        return None

    def finish(self, job: Job, snapshot: Snapshot, tallies: Mapping[Scope, Tally]) -> None:
        """The aggregate has come."""
        now, topic = self._clock(), job.statistic.topic
        # Where more waited than one aggregate takes, the next one is shared by many as well.
        self._fresh_from[topic] = now + (FRESH_SECONDS if len(job.ledgers) < BATCH else 0.0)
        self._rest_until[topic] = now + max(job.statistic.interval, job.statistic.rest * (now - job.begun))
        for scope, ledger in job.ledgers.items():
            version, tally = ledger.version, tallies[scope]
            ledger.answer(snapshot, tally, now)
            if self._ledgers[topic].get(scope) is not ledger:
                continue  # nobody wants it any more
            if ledger.known:
                self._unknown[topic].pop(scope, None)
            if ledger.checking:
                self._checking.add((topic, scope))
                self._compare(topic, scope)
            if ledger.version != version:
                self._audience.stir(topic, scope, now)
            if tally.good_for is not None:
                self._good_until[topic] = now + tally.good_for
        self._wake()

    def fail(self, job: Job) -> None:
        """The aggregate could not be run. It is tried again later."""
        self._failed_until[job.statistic.topic] = self._clock() + RETRY_SECONDS
        for ledger in job.ledgers.values():
            ledger.give_up()

    def until_telling(self) -> float:
        """Seconds until `tell` has something to do, if nothing wakes us before."""
        times = (self._sweep_at, self._audience.next_due())
        return max(0.0, min(time for time in times if time is not None) - self._clock())

    def until_asking(self) -> float:
        """Seconds until `next_job`, which had none, may have one, if nothing wakes us before."""
        times = [NEVER]
        for topic, statistic in self._offered.items():
            if not self._ledgers[topic]:
                continue
            failed = self._failed_until.get(topic, 0.0)
            blocked = max(failed, self._rest_until.get(topic, 0.0))
            times.append(self._good_until.get(topic, NEVER))
            if statistic.exact:
                times.append(max(blocked, self._check_at[topic]))
            if any(self._askable(statistic, rested=False, fresh=True)):
                times.append(max(failed, self._fresh_from.get(topic, 0.0)))
            elif any(self._askable(statistic, rested=True, fresh=True)):
                times.append(blocked)
        return max(0.0, min(times) - self._clock())

    def _concerned(self, statistic: Statistic, event: Event) -> Iterable[tuple[Scope, Ledger]]:
        """Whose numbers the event may change."""
        ledgers = self._ledgers[statistic.topic]
        if not statistic.owned or event.owner is not None:
            scope = event.owner if statistic.owned else None
            ledger = ledgers.get(scope)
            return () if ledger is None else ((scope, ledger),)
        # Without an owner, only what says "refetch" is for somebody, and then for everybody.
        return ledgers.items() if event.op in ("bulk", "truncate", "error") else ()

    def _askable(self, statistic: Statistic, rested: bool, fresh: bool) -> Iterator[tuple[Scope, Ledger]]:
        for scope, ledger in self._unknown[statistic.topic].items():
            # Who has only just come need not wait until what others have changed is paid for.
            if not ledger.asked and (rested or (fresh and statistic.owned and ledger.fresh)):
                yield scope, ledger

    def _forget(self, how: Callable[[Ledger], object], topic: str | None = None) -> None:
        for name, ledgers in self._ledgers.items():
            if topic is None or name == topic:
                for ledger in ledgers.values():
                    how(ledger)
                self._unknown[name].update(ledgers)
        self._wake()

    def _compare(self, topic: str, scope: Scope) -> None:
        ledger = self._ledgers[topic][scope]
        drifted = None if self._place is None else ledger.compare(self._place)
        if not ledger.checking:
            self._checking.discard((topic, scope))
        if drifted:
            self.drift[topic] += 1
            self._audience.stir(topic, scope, self._clock())
            self._wake()

    def _rendered(self, statistic: Statistic, group: Group) -> tuple[Payload, str] | None:
        """The body and its message; None where not all of the numbers are known."""
        ledgers = [self._ledgers[group.topic][scope] for scope in group.scopes]
        versions = [ledger.version for ledger in ledgers]
        tallies = [tally for ledger in ledgers if (tally := ledger.tally) is not None]
        if len(tallies) < len(ledgers):
            return None
        if group.rendered is None or group.rendered[0] != versions:
            body = statistic.figures(tallies)
            group.rendered = (versions, body, statistic.text(body, group.scopes))
        return group.rendered[1], group.rendered[2]
