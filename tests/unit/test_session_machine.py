"""A session under every mixture of what can happen to it, against a log of which everything is known.

The client keeps what it was sent and the latest place it was told. Whatever happens: the buffer is bounded; no place says
more than was received; what was offered waits, was received, was replaced by something newer, or will be read from the
log; and in the end the client has everything, in the order of each row, or was told to refetch.
"""

from collections.abc import Sequence

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from changefeed.cursor import Cursor
from changefeed.event import Event
from changefeed.session import Item, Session, State
from tests.unit.client import Client
from tests.unit.subscriber import Woken
from tests.unit.transactions import ANN, Transactions, event

LIVING = (State.LIVE, State.LAGGING, State.REPLAYING)
ROWS = ('{"id": 1}', '{"id": 2}', None)
"""None: a refetch, which many transactions may write at once."""
rows = st.lists(st.sampled_from(ROWS), min_size=1, max_size=4)
TEXT_BYTES = 40


class SessionMachine(RuleBasedStateMachine):
    """One session, the hub that offers to it, the writer that takes from it, and the log."""

    @initialize(
        state_mode=st.booleans(),
        max_messages=st.integers(1, 10),
        max_bytes=st.sampled_from([3 * TEXT_BYTES, 1 << 20]),
        min_interval=st.sampled_from([0.0, 2.0]),
    )
    def begin_everything(self, state_mode: bool, max_messages: int, max_bytes: int, min_interval: float) -> None:
        self.log = Transactions()
        self.place = self.log.cursor()
        # What is left of a window that is published in pages, and where it ends.
        self.window: list[Event] = []
        self.target: Cursor | None = None
        self.published: list[Event] = []
        self.max_messages, self.max_bytes = max_messages, max_bytes
        self.state_mode = state_mode
        self.woken = Woken()
        self.session = Session(
            owners=frozenset({ANN}),
            admin=False,
            position=self.place,
            max_messages=max_messages,
            max_bytes=max_bytes,
            wake=self.woken,
            mode="state" if state_mode else "log",
            min_interval=min_interval,
        )
        self.client = Client(self.log, self.place, state_mode)
        self.waiting: list[int] = []
        """Numbers of what the session has accepted and not given."""
        self.pongs = self.statistics = 0
        self.reading: tuple[list[list[Event]], Cursor] | None = None
        self.position = self.place
        self.now = 100.0
        self.sent_at = float("-inf")

    # The application.

    @rule(row=st.sampled_from(ROWS), which=st.integers(0, 3), new=st.integers(0, 2))
    def write(self, row: str | None, which: int, new: int) -> None:
        running = sorted(self.log.running)
        if not running or (new == 0 and len(running) < 4):
            running = [self.log.begin()]
        xid = running[which % len(running)]
        if row is None or self.log.may_write(xid, f"public.note {row}"):
            self.log.write(xid, event(key=row, op="update" if row else "bulk"))

    @rule(which=st.integers(0, 3), commit=st.integers(0, 5))
    def end(self, which: int, commit: int) -> None:
        running = sorted(self.log.running)
        if running:
            (self.log.commit if commit else self.log.roll_back)(running[which % len(running)])

    @rule(rows=rows, publish=st.booleans())
    def write_and_commit(self, rows: list[str | None], publish: bool) -> None:
        xid = self.log.begin()
        for row in rows:
            if row is None or self.log.may_write(xid, f"public.note {row}"):
                self.log.write(xid, event(key=row, op="update" if row else "bulk"))
        self.log.commit(xid)
        if publish:
            self.publish(page=100)

    # The hub.

    @rule(page=st.integers(1, 5))
    def publish(self, page: int) -> None:
        if self.target is None:
            self.target = self.log.cursor()
            self.window = list(self.log.after(self.place))
        events, self.window = self.window[:page], self.window[page:]
        for made in events:
            self.offer(made)
        self.published += events
        if not self.window:
            self.session.settle(self.target)
            self.place, self.target = self.target, None

    def offer(self, made: Event) -> None:
        woken, state, refused = (
            self.woken.times,
            self.session.state,
            self.session.state not in (State.LIVE, State.REPLAYING),
        )
        text = str(made.seq).ljust(TEXT_BYTES, ".")
        accepted = self.session.offer(Item("row-changed", text, made.xid, row=(made.source, made.key)), self.place)
        if accepted:
            assert not refused
            self.waiting.append(made.seq)
        elif self.session.state is not state:
            assert self.session.state is State.LAGGING
            self.waiting.clear()
        assert (self.woken.times > woken) == (accepted or self.session.state is not state)

    # Whoever writes to the client.

    @rule(elapsed=st.floats(0, 3))
    def take(self, elapsed: float) -> None:
        self.now += elapsed
        session = self.session
        if session.state is State.CLOSED:
            return
        held = session.hold(self.now)
        if not session.min_interval or self.pongs:
            assert held == 0.0
        else:
            assert held == max(0.0, self.sent_at + session.min_interval - self.now)
        assert session.waiting == len(set(self.waiting_items())) + self.pongs + min(self.statistics, 1)
        if held or session.state is State.REPLAYING:
            return
        items = session.take(self.now)
        events = [item for item in items if item.xid is not None]
        assert session.conflated == len(self.waiting) - len(events)
        if self.waiting or self.statistics:
            self.sent_at = self.now
        session.conflated = 0
        self.waiting.clear()
        self.pongs = self.statistics = 0
        self.client.takes(items)
        assert session.waiting == 0

    def waiting_items(self) -> Sequence[object]:
        """What of the accepted still waits: in state mode, once it is live, the newest of each row."""
        if not self.state_mode or self.session.state is State.REPLAYING:
            return self.waiting
        return [self.client.event(seq).key for seq in self.waiting]

    @rule(what=st.sampled_from(["pong", "statistic", "heartbeat", "answers"]))
    def something_else(self, what: str) -> None:
        if self.session.state is State.CLOSED:
            return
        if what == "pong":
            self.session.push("pong", "{}")
            self.pongs += 1
        elif what == "statistic":
            self.session.push("dashboard-stats-update", "{}", newest=True)
            self.statistics += 1
        elif what == "heartbeat":
            self.client.stores(self.session.caught_up_with(self.place))
        else:
            assert len(self.session.take_answers()) == self.pongs
            self.pongs = 0

    # Reading on from the log.

    @rule(back=st.integers(0, 3))
    def comes_back_with_a_place(self, back: int) -> None:
        since = self.client.goes_back(back)
        # A place that is ahead of the hub is waited for.
        if self.session.state is not State.CLOSED and self.place.snapshot.covers(since.snapshot):
            self.session.lag(since)
            self.waiting.clear()
            self.reading = None
            self.position = since

    @precondition(lambda self: self.session.state is State.LAGGING and self.reading is None)
    @rule(from_memory=st.booleans(), pages=st.integers(1, 3))
    def begin_replay(self, from_memory: bool, pages: int) -> None:
        since = self.session.begin_replay()
        assert since == self.session.position
        if from_memory:
            missed, end = [made for made in self.published if not since.snapshot.includes(made.xid)], self.place
        else:
            missed, end = list(self.log.after(since)), self.log.cursor()
        size = -(-len(missed) // pages) or 1
        self.reading = ([missed[first : first + size] for first in range(0, len(missed), size)], end)

    @precondition(lambda self: self.reading is not None)
    @rule()
    def read_on(self) -> None:
        assert self.reading is not None
        pages, end = self.reading
        if not self.session.reading:
            # Overtaken by a restart, or closed.
            state, position = self.session.state, self.session.position
            self.session.end_replay(end)
            assert (self.session.state, self.session.position) == (state, position)
            self.reading = None
        elif pages:
            for made in pages.pop(0):
                self.client.receives(made.seq)
        else:
            lagging, before = self.session.state is State.LAGGING, self.session.position
            self.session.end_replay(end)
            # The hub's memory may end before what an earlier reading of the log has brought.
            end = end if end.snapshot.covers(before.snapshot) else before
            assert self.session.state is (State.LAGGING if lagging else State.LIVE)
            assert self.session.position == end
            self.waiting = [seq for seq in self.waiting if not end.snapshot.includes(self.client.event(seq).xid)]
            self.reading = None
            self.client.stores(end)

    @rule(back=st.integers(0, 3), from_memory=st.booleans(), meanwhile=st.lists(rows, max_size=3))
    def read_everything(self, back: int, from_memory: bool, meanwhile: list[list[str | None]]) -> None:
        self.comes_back_with_a_place(back)
        if self.session.state is State.LAGGING:
            self.begin_replay(from_memory, pages=2)
            for rows in meanwhile:
                self.write_and_commit(rows, publish=True)
            while self.reading is not None:
                self.read_on()

    # The rest.

    @rule(often=st.integers(0, 19))
    def restart_or_close(self, often: int) -> None:
        if self.session.state is State.CLOSED or often > 1:
            return
        self.waiting.clear()
        if often == 0:
            self.session.close()
            self.pongs = self.statistics = 0
            assert self.session.take(self.now) == []
            return
        self.place, self.target, self.window = self.log.cursor(), None, []
        self.published = [made for made in self.log.committed if self.place.snapshot.includes(made.xid)]
        self.session.restart(self.place)
        self.session.push("resync", "{}", self.session.caught_up_with(self.place))
        self.pongs += 1
        self.position = self.place
        self.client.refetches(self.place)

    # What is always true.

    @invariant()
    def the_buffer_is_bounded(self) -> None:
        assert self.session._buffer.events <= self.max_messages
        assert self.session._buffer._bytes == self.session._buffer.events * TEXT_BYTES <= self.max_bytes

    @invariant()
    def the_position_promises_no_more_than_was_received_and_does_not_go_back(self) -> None:
        if self.session.state is not State.CLOSED:
            self.client.has_everything_up_to(self.session.position)
        assert self.session.position.snapshot.covers(self.position.snapshot)
        self.position = self.session.position

    @invariant()
    def what_was_offered_waits_or_was_received_or_is_in_the_log(self) -> None:
        # A reading brings the rest, or one from the position will.
        rest = [made for page in self.reading[0] for made in page] if self.reading else []
        for made in self.published if self.session.state is not State.CLOSED else ():
            if self.client.lacks(made, self.waiting):
                assert self.session.state is not State.LIVE, f"{made} was lost"
                assert made in rest or not self.session.position.snapshot.includes(made.xid)

    @invariant()
    def in_log_mode_new_messages_of_a_row_come_in_order(self) -> None:
        assert self.state_mode or self.client.got_each_row_in_order()

    def teardown(self) -> None:
        """Everything is read and sent: then nothing is missing."""
        if not hasattr(self, "session") or self.session.state is State.CLOSED:
            return
        for xid in sorted(self.log.running):
            self.log.commit(xid)
        for _ in range(200):
            self.publish(5)
            if self.session.state is State.LAGGING and self.reading is None:
                self.begin_replay(from_memory=False, pages=2)
            if self.reading is not None:
                self.read_on()
            else:
                self.now += 10.0
                self.take(0.0)
        assert self.session.state is State.LIVE
        assert self.session.caught_up_with(self.place) == self.place == self.log.cursor()
        self.client.has_everything_and_the_newest_last(ROWS)


TestSession = SessionMachine.TestCase
TestSession.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
