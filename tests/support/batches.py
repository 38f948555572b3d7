"""Transactions of many rows: one statement that changes, adds, hands over or deletes as many tasks as a batch job does."""

import random
from uuid import uuid4

from tests.support.application import Connection
from tests.support.history import TASKS, Fate
from tests.support.population import Population


async def batch(connection: Connection, chance: random.Random, people: Population, rows: int, fate: Fate) -> int:
    """One statement on about so many tasks, inside the caller's transaction. Returns how many changes that was."""
    what = chance.random()
    if what < 0.12:
        return await _insert(connection, chance, people, rows, fate)
    chosen = sorted(set(chance.choices(people.tasks, k=rows if what < 0.9 else rows // 2)))
    # Locked in their order before the statement takes them in its own: two batches do not often wait for each other.
    held = await connection.fetch(
        "select id::text as id, user_id::text as owner from agent_task where id = any ($1::text[]::uuid[])"
        " order by id for update",
        chosen,
    )
    ids, owners = [row["id"] for row in held], [row["owner"] for row in held]
    if what < 0.9:
        moved = 0.0 if what < 0.6 else 0.2
        return await _update(connection, chance, people, ids, owners, moved, fate)
    await connection.execute("delete from agent_task where id = any ($1::text[]::uuid[])", ids)
    for task, owner in zip(ids, owners, strict=True):
        people.history.gone((TASKS, task), owner, fate)
    return len(ids)


async def _insert(connection: Connection, chance: random.Random, people: Population, rows: int, fate: Fate) -> int:
    owners = chance.choices(people.owners, k=rows)
    ids = [str(uuid4()) for _ in owners]
    marks = [next(people.marks) for _ in owners]
    await connection.execute(
        """
        insert into agent_task (id, execution_id, user_id, progress)
        select * from unnest($1::text[]::uuid[], $2::text[]::uuid[], $3::text[]::uuid[], $4::int[])
        """,
        ids,
        [people.first[owner] for owner in owners],
        owners,
        marks,
    )
    people.tasks += ids
    for task, owner, mark in zip(ids, owners, marks, strict=True):
        people.history.written((TASKS, task), owner, mark, fate)
    return rows


async def _update(
    connection: Connection,
    chance: random.Random,
    people: Population,
    ids: list[str],
    owners: list[str],
    moved: float,
    fate: Fate,
) -> int:
    """`moved`: how many of the tasks pass to another owner, about."""
    to = [chance.choice(people.owners) if chance.random() < moved else owner for owner in owners]
    marks = [next(people.marks) for _ in ids]
    await connection.execute(
        """
        update agent_task t set progress = n.mark, user_id = n.owner
          from unnest($1::text[]::uuid[], $2::int[], $3::text[]::uuid[]) as n (id, mark, owner)
         where t.id = n.id
        """,
        ids,
        marks,
        to,
    )
    changes = 0
    for task, owner, new, mark in zip(ids, owners, to, marks, strict=True):
        if new != owner:
            people.history.gone((TASKS, task), owner, fate)
            changes += 1
        people.history.written((TASKS, task), new, mark, fate)
        changes += 1
    return changes
