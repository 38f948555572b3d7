"""Clients whose messages are looked into, member by member: whatever says something of a row must be of a row of theirs.

Guarantees: every text and every number of a message from the log is one that stood in a row of the onlooker's while it was
his, or one of the few words that all messages are made of; an id of the application's in any other message is his too;
statistics are what his own rows came to after one of the transactions, and an administrator's hold no row.
"""

import asyncio
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from tests.api.possessions import EXECUTION, KINDS, STATUSES, TASK, Kind, Numbers, Owner, Possessions, Sums, leaves
from tests.api.scenarios import ADMIN
from tests.support.client import STATISTICS, End, EndedError, Message, Subscriber
from tests.support.service import LONGEST, PAUSE

COMMON = {
    *STATUSES, *(kind.source for kind in KINDS), "insert", "update", "delete", "leave", "bulk", "truncate", "owner",
}  # fmt: skip
"""What stands in everybody's messages."""
OUTSIDE = {"type", "timestamp", "id", "cursor", "user_id", "data"}
TOPICS = {EXECUTION: "executions", TASK: "agent-tasks"}
_ID = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DASHBOARD = STATISTICS[0]


async def until(reached: Callable[[], bool], words: Callable[[], object]) -> None:
    """Waits until it is so. Fails with these words where it never is."""
    try:
        async with asyncio.timeout(LONGEST):
            while True:
                if reached():
                    return
                await asyncio.sleep(PAUSE)
    except TimeoutError:
        raise AssertionError(words()) from None


def ids(value: Any) -> set[str]:
    """What looks like an id of the application's, wherever it stands."""
    return set(_ID.findall(json.dumps(value)))


def numbers_of(body: Mapping[str, Any]) -> Numbers:
    """What a dashboard statistic says."""
    return Sums.told(body["executions"]), Sums.told(body["agent_tasks"])


class Onlooker:
    """One client, and who he is: the person in his token, and the owners that the token makes him."""

    def __init__(
        self, client: Subscriber, possessions: Possessions, person: str, owners: set[Owner], *, admin: bool = False
    ) -> None:
        self.client = client
        self.person = person
        self.owners = owners
        self.admin = admin
        self.issued_at = 0
        self.topics: frozenset[str] | None = None
        """None: all that he may see."""
        self.end: End | None = None
        self._was_to_end = False
        self._possessions = possessions
        self._spans: list[tuple[int, set[Owner]]] = [(0, owners)]
        """From which message on which owners are in force; a little earlier is right as well."""
        self._reading: asyncio.Task[None] | None = None

    def follow(self) -> None:
        """From now on whatever comes is taken."""
        self._reading = asyncio.create_task(self._follow())

    async def leave(self) -> None:
        """He goes. Raises what stopped him from reading."""
        if self._reading is not None:
            self._reading.cancel()
            (stopped,) = await asyncio.gather(self._reading, return_exceptions=True)
            if isinstance(stopped, Exception):
                raise stopped
        await self.client.close()

    @property
    def live(self) -> bool:
        return self._reading is not None and not self._reading.done()

    async def ended(self, *errors: str) -> None:
        """Waits until the server has ended his connection, for one of these reasons."""
        await until(lambda: not self.live, lambda: f"{self} was not sent away: {self.client.kinds}")
        self._was_to_end = True
        assert self.end is not None, self._reading
        assert self.end.error in errors, self.end

    def renewed(self, owners: set[Owner], answer: int) -> None:
        """Another token of his is in force, since the message of this number."""
        self._spans.append((answer, owners))
        self.owners = owners

    def wants(self, kind: Kind) -> bool:
        """Whether he has asked for this table's messages."""
        rows = f"rows:{kind.source}"
        return self.topics is None or not self.topics.isdisjoint({TOPICS.get(kind, rows), rows})

    def forbidden(self, topics: Iterable[str] | None) -> bool:
        """Whether some of these topics are not for him."""
        return not self.admin and not ADMIN.isdisjoint(topics or ())

    async def got(self, key: str) -> None:
        """Waits until he has been sent the row with this key."""
        await until(
            lambda: any(key in leaves(message["data"]) for message in self.client.events),
            lambda: f"{self} lacks {key} after {self.client.kinds}",
        )

    async def knows_his_numbers(self) -> None:
        """Waits until the newest statistic that he was told is how things are."""

        def told() -> list[Numbers]:
            return [numbers_of(one["data"]) for one in self.client.statistics if one["type"] == _DASHBOARD][-1:]

        await until(lambda: told() == self.numbers[-1:], lambda: f"{self}: {self.numbers[-1]}, but was told {told()}")

    @property
    def numbers(self) -> list[Numbers]:
        """What his rows came to, the newest last."""
        return self._possessions.numbers.get(self.person) or [_NOTHING]

    def complaints(self) -> Iterator[str]:
        """What he was sent and should not have been, in words; also that he was sent away, for no reason."""
        if self.end is not None and not self._was_to_end:
            yield f"{self} was sent away: {self.end}"
        for number, message in enumerate(self.client.seen):
            spans = [owners for begin, owners in self._spans if begin <= number][-1:]
            spans += [owners for begin, owners in self._spans if begin > number][:1]
            if foreign := list(self._foreign(message, set().union(*spans))):
                yield f"{self} was sent {', '.join(foreign)} in {message}"
        for message in self.client.statistics:
            if wrong := list(self._wrong(message)):
                yield f"{self} was told {', '.join(wrong)} in {message}"

    def knows(self, owners: set[Owner]) -> set[str]:
        """What may be in his messages."""
        return COMMON.union(*(self._possessions.known[owner] for owner in owners))

    def _foreign(self, message: Message, owners: set[Owner]) -> Iterator[str]:
        mine = self.knows(owners) | {self.person}
        if message["type"] in STATISTICS:
            yield "a statistic among the events"
        if "id" not in message:
            yield from (f"the id {found}" for found in ids(message) - mine)
            return
        yield from (f"a member {name}" for name in set(message) - OUTSIDE)
        # Somebody who owns nothing by that name is nobody: a team of a user's name is not the user.
        values = {value for kind, value in owners if self._possessions.known[kind, value]}
        # Only what says "refetch" and names nobody is for everybody.
        if message.get("user_id") not in values and ("user_id" in message or message["type"] != "rows-changed"):
            yield f"a row of {message.get('user_id')}"
        yield from (f"{value!r}" for value in set(leaves(message["data"])) - mine)

    def _wrong(self, message: Message) -> Iterator[str]:
        if message["type"] == _DASHBOARD:
            if message.get("user_id") not in (None, self.person):
                yield f"the numbers of {message['user_id']}"
            if numbers_of(message["data"]) not in self.numbers:
                yield "numbers that his rows never came to"
        elif not self.admin:
            yield "what is for administrators"
        else:
            yield from (f"the id {found}" for found in ids(message) & self._possessions.private)

    async def _follow(self) -> None:
        try:
            while True:
                await self.client.next()
        except EndedError as ended:
            self.end = ended.end

    def __str__(self) -> str:
        return f"{self.client.transport} of {self.person} as {sorted(self.owners)} with {self.client.parameters}"


_NOTHING = (
    Sums.told({"total": 0, "by_status": {}, "cost_usd": "0"}),
    Sums.told({"total": 0, "by_status": {}, "cost_usd": "0", "tokens": 0}),
)
