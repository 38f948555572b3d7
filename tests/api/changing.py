"""What the application does to its rows meanwhile: whose they are changes in every way in which it can.

A change picks by number, and passes over what is not there to be picked.
"""

from dataclasses import dataclass

import asyncpg

from tests.api.possessions import EXECUTION, NOTE, TASK, Kind, Possessions, Row
from tests.api.scene import Scene


@dataclass(frozen=True)
class Write:
    """The application changes rows, in one transaction."""

    changes: tuple["Change", ...]

    async def act(self, scene: Scene) -> None:
        async with scene.rows.app.transaction():
            for change in self.changes:
                await change.make(scene)
        await scene.rows.count()


@dataclass(frozen=True)
class Change:
    """One of them."""

    how: str
    kind: Kind
    which: int
    to: int
    anew: bool

    async def make(self, scene: Scene) -> None:
        rows = scene.rows
        person = scene.person(self.to)
        workflows = list(rows.workflows)
        mine = [row for row in rows.rows if row.kind is self.kind]
        row = mine[self.which % len(mine)] if mine else None
        workflow = workflows[self.which % len(workflows)] if workflows else None
        if self.how == "insert" or (row is None and self.how not in ("pass", "fell")):
            for _ in range(5 if self.how == "insert" and self.kind is NOTE and self.anew else 1):
                await rows.insert(self.kind, await rows.home(self.kind, person), self.which)
        elif self.how in ("pass", "fell"):
            if workflow is not None:
                await (rows.pass_on(workflow, person) if self.how == "pass" else rows.fell(workflow))
        elif row is not None:
            await self._on(row, rows, person)

    async def _on(self, row: Row, rows: Possessions, person: str) -> None:
        contents = rows.fresh(self.kind, self.which + self.to)
        match self.how:
            case "delete":
                await rows.delete(row)
            case "hand":
                nobody = self.kind in (TASK, NOTE) and self.to == 0
                home = None if nobody else await rows.home(self.kind, person)
                await rows.update(row, {self.kind.home: home} | (contents if self.anew else {}))
            case "rekey":
                if not any(other.values.get("execution_id") == row.key for other in rows.rows):
                    await rows.update(row, {"id": rows.key(self.kind)} | (contents if self.anew else {}))
            case "undo":
                undone = rows.app.transaction()
                await undone.start()
                await rows.write(row, {self.kind.home: await rows.home(self.kind, person)} | contents)
                await undone.rollback()
            case _:
                if contents:
                    await rows.update(row, contents)


@dataclass(frozen=True)
class Race:
    """An execution is being written to while its workflow passes to somebody else: either may hear what it was."""

    which: int
    to: int

    async def act(self, scene: Scene) -> None:
        rows = scene.rows
        executions = [row for row in rows.rows if row.kind is EXECUTION]
        if not executions:
            return
        row = executions[self.which % len(executions)]
        writer = await asyncpg.connect(scene.site.database.app_dsn)
        try:
            transaction = writer.transaction()
            await transaction.start()
            values = await rows.write(row, rows.fresh(EXECUTION, self.to), writer)
            rows.learn(row, values)
            await rows.pass_on(row.values["workflow_id"], scene.person(self.to))
            await rows.count()
            await transaction.commit()
        finally:
            await writer.close()
        row.values = values
        rows.learn(row)
        await rows.count()
