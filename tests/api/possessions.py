"""The rows of an application's users, and for every value that was ever in one of them, whose it was then.

Guarantees: no value is written twice (each text, number and amount is a new one), so that a value tells whose row it was in.
Somebody may know of what was in a row while that row was his, and of nothing else. One writer, and so one history: whose
numbers came to what is known after each transaction.
"""

import itertools
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import uuid4

from tests.support.application import Connection

Owner = tuple[str, str]
"""Kind and value."""


@dataclass(frozen=True)
class Kind:
    """A table, and what its columns are for."""

    table: str
    home: str
    """The column that says whose a row is."""
    texts: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    amounts: tuple[str, ...] = ()
    statuses: bool = False
    owner_kind: str = "user"

    @property
    def source(self) -> str:
        return f"public.{self.table}"


EXECUTION = Kind(
    "workflow_execution", "workflow_id", ("current_node", "error_message"), ("progress",), ("cost_usd",), statuses=True
)
TASK = Kind(
    "agent_task",
    "user_id",
    ("agent", "task_type", "error_message"),
    ("progress", "tokens"),
    ("cost_usd",),
    statuses=True,
)
NOTE = Kind("note", "writer", ("body",))
MEMO = Kind("memo", "team", owner_kind="org")
KINDS = (EXECUTION, TASK, NOTE, MEMO)
STATUSES = ("pending", "running", "paused", "completed", "failed", "cancelled")
_NUMBERS = itertools.count(1_000_001)
"""Never the same again, also not in another history: what is left of one is nobody's in the next."""
_DIMENSIONS = ("agent", "task_type", "workflow_id", "status")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


@dataclass(eq=False)
class Row:
    """One that is there, as it was written last."""

    kind: Kind
    values: dict[str, Any]

    @property
    def key(self) -> str:
        return str(self.values["id"])


def leaves(value: Any) -> Iterator[str]:
    """All texts and numbers in a JSON value, as texts; times are everybody's."""
    if isinstance(value, Mapping | list):
        for member in value.values() if isinstance(value, Mapping) else value:
            yield from leaves(member)
    elif value is not None and not isinstance(value, bool) and not _TIME.fullmatch(text := str(value)):
        yield text


@dataclass(frozen=True)
class Sums:
    """What somebody's rows of one table come to."""

    total: int
    statuses: frozenset[tuple[str, int]]
    cost: Decimal
    tokens: int | None

    @classmethod
    def told(cls, part: Mapping[str, Any]) -> "Sums":
        """As a statistic says it."""
        return cls(part["total"], frozenset(part["by_status"].items()), Decimal(part["cost_usd"]), part.get("tokens"))


Numbers = tuple[Sums, Sums]
"""Executions and agent tasks."""


class Possessions:
    """Everything that the people and the teams of one history own."""

    def __init__(self, app: Connection, people: int) -> None:
        self.app = app
        self.people = [str(uuid4()) for _ in range(people)]
        self.teams = [f"team {next(_NUMBERS)}" for _ in range(2)]
        self.workflows: dict[str, str] = {}
        """Whose each is."""
        self.rows: list[Row] = []
        self.known: dict[Owner, set[str]] = defaultdict(set)
        """What stood in rows while they were his."""
        self.private: set[str] = set()
        """What stood in anybody's rows, but for what everybody's costs are added up by."""
        self.numbers: dict[str, list[Numbers]] = {person: [] for person in self.people}
        """What each person's rows came to after each transaction, the newest last."""

    async def settle(self) -> None:
        """Two workflows for everybody."""
        for person in self.people:
            self.known["user", person].add(person)
            await self.found(person)
            await self.found(person)
        for team in self.teams:
            self.known["org", team].add(team)
        await self.count()

    async def found(self, person: str) -> str:
        """A new workflow of his."""
        workflow = str(uuid4())
        sql = "insert into workflow (id, owner_id, name) values ($1::text::uuid, $2::text::uuid, 'w')"
        await self.app.execute(sql, workflow, person)
        self.workflows[workflow] = person
        return workflow

    def owner(self, kind: Kind, values: Mapping[str, Any]) -> Owner | None:
        """Whose a row with these values is; None: nobody's."""
        home = values[kind.home]
        value = self.workflows.get(home) if kind is EXECUTION else home
        return None if value is None else (kind.owner_kind, value)

    def of(self, kind: Kind, owner: Owner) -> set[str]:
        """The keys of his rows."""
        return {row.key for row in self.rows if row.kind is kind and self.owner(kind, row.values) == owner}

    async def home(self, kind: Kind, person: str) -> str:
        """What makes a row this person's, or his team's."""
        if kind is EXECUTION:
            mine = [workflow for workflow, owner in self.workflows.items() if owner == person]
            return mine[0] if mine else await self.found(person)
        return self.team(person) if kind is MEMO else person

    def team(self, person: str) -> str:
        """The one that he is in."""
        return self.teams[self.people.index(person) % len(self.teams)]

    def fresh(self, kind: Kind, number: int) -> dict[str, Any]:
        """New contents."""
        marks: dict[str, Any] = {column: str(uuid4()) for column in kind.texts}
        marks |= {column: next(_NUMBERS) for column in kind.numbers}
        marks |= {column: next(_NUMBERS) + 0.25 for column in kind.amounts}
        return marks | ({"status": STATUSES[number % len(STATUSES)]} if kind.statuses else {})

    def key(self, kind: Kind) -> Any:
        """A new one."""
        return str(uuid4()) if kind in (EXECUTION, TASK) else next(_NUMBERS)

    async def insert(self, kind: Kind, home: str, number: int = 0) -> Row | None:
        """A new row; None where there is nothing that it could belong to."""
        values = {"id": self.key(kind), kind.home: home} | self.fresh(kind, number)
        if kind is TASK:
            executions = [row for row in self.rows if row.kind is EXECUTION]
            mine = [row for row in executions if self.owner(EXECUTION, row.values) == ("user", home)]
            if not executions:
                return None
            values["execution_id"] = (mine or executions)[number % len(mine or executions)].key
        columns = ", ".join(values)
        sql = (
            f"insert into {kind.table} as t ({columns}) select {columns}"
            f" from jsonb_populate_record(null::{kind.table}, $1::jsonb) returning to_jsonb(t)"
        )
        row = Row(kind, json.loads(await self.app.fetchval(sql, json.dumps(values))))
        self.rows.append(row)
        self.learn(row)
        return row

    async def write(
        self, row: Row, changes: Mapping[str, Any], connection: "Connection | None" = None
    ) -> dict[str, Any]:
        """New values in some columns. Returns what the row is then; whether it stays so, the transaction's end decides."""
        columns = ", ".join(changes)
        sql = (
            f"update {row.kind.table} as t set ({columns}) = (select {columns}"
            f" from jsonb_populate_record(null::{row.kind.table}, $2::jsonb)) where id::text = $1 returning to_jsonb(t)"
        )
        values: dict[str, Any] = json.loads(await (connection or self.app).fetchval(sql, row.key, json.dumps(changes)))
        return values

    async def update(self, row: Row, changes: Mapping[str, Any]) -> None:
        """The same for good: contents, whose it is, its key."""
        row.values = await self.write(row, changes)
        self.learn(row)

    async def delete(self, row: Row) -> None:
        """It goes, and what hangs on it."""
        await self.app.execute(f"delete from {row.kind.table} where id::text = $1", row.key)
        self._forget(lambda other: other is row or other.values.get("execution_id") == row.key)

    async def pass_on(self, workflow: str, person: str) -> None:
        """The workflow becomes somebody else's, and its executions with it."""
        await self.app.execute(
            "update workflow set owner_id = $2::text::uuid where id = $1::text::uuid", workflow, person
        )
        self.workflows[workflow] = person
        for row in self.rows:
            if row.values.get("workflow_id") == workflow:
                self.learn(row)

    async def fell(self, workflow: str) -> None:
        """The workflow goes, with everything below it."""
        await self.app.execute("delete from workflow where id = $1::text::uuid", workflow)
        del self.workflows[workflow]
        gone = {row.key for row in self.rows if row.values.get("workflow_id") == workflow}
        self._forget(lambda row: row.key in gone or row.values.get("execution_id") in gone)

    def learn(self, row: Row, values: Mapping[str, Any] | None = None) -> None:
        """Whoever owns the row now may know what is in it: now, or with these values."""
        values = row.values if values is None else values
        self.private.update(leaves({name: value for name, value in values.items() if name not in _DIMENSIONS}))
        owner = self.owner(row.kind, values)
        if owner is not None:
            self.known[owner].update(leaves(values))

    async def count(self) -> None:
        """A transaction has ended: what everybody's rows come to now."""
        found = {person: {EXECUTION.table: _Adding(), TASK.table: _Adding(tokens=0)} for person in self.people}
        for row in await self.app.fetch(_SUMS, self.people):
            found[row["owner"]][row["source"]].add(row)
        for person, (executions, tasks) in ((person, found[person].values()) for person in self.people):
            self.numbers[person].append((executions.sums(), tasks.sums()))

    def _forget(self, gone: Any) -> None:
        self.rows = [row for row in self.rows if not gone(row)]


@dataclass
class _Adding:
    """Sums in the making."""

    tokens: int | None = None
    cost: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        self.statuses: Counter[str] = Counter()

    def add(self, row: Mapping[str, Any]) -> None:
        self.statuses[row["status"]] += row["rows"]
        self.cost += row["cost"]
        if self.tokens is not None:
            self.tokens += row["tokens"]

    def sums(self) -> Sums:
        return Sums(self.statuses.total(), frozenset(self.statuses.items()), self.cost, self.tokens)


_SUMS = """
select 'workflow_execution' as source, w.owner_id::text as owner, e.status, count(*) as rows, sum(e.cost_usd) as cost,
       0 as tokens
  from workflow_execution e join workflow w on w.id = e.workflow_id where w.owner_id = any ($1::text[]::uuid[]) group by 2, 3
union all
select 'agent_task', t.user_id::text, t.status, count(*), sum(t.cost_usd), sum(t.tokens)
  from agent_task t where t.user_id = any ($1::text[]::uuid[]) group by 2, 3
"""
