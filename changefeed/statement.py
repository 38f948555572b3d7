"""The SQL that depends on what the host's tables and columns are called: the only place where SQL is put together.

Contract: names become SQL only through `identifier`, texts only through `literal`, values of requests never (they are
parameters, always sent as text and cast by the server); types come from format_type(), which quotes them. The owner
expression of a watch stands as it is, as it does in the capture trigger: whoever may watch a table wrote it. Assumes
`standard_conforming_strings` on and time zone UTC. Every function that an expression calls here is one of pg_catalog, which
every search path that is used begins with. Pure.
"""

from collections.abc import Mapping, Sequence
from itertools import count

from .ownership import parents_of
from .sources import ConnectorTables
from .table import NEWEST, Column, Table, Use

COSTS: Mapping[str, Mapping[str, Use]] = {
    "execution": {"started_at": "moment", "workflow_id": "text", "cost_usd": "number"},
    "agent-task": {
        "created_at": "moment",
        "agent": "text",
        "task_type": "text",
        "cost_usd": "number",
        "tokens": "number",
    },
}
DASHBOARD: Mapping[str, Mapping[str, Use]] = {
    "execution": {"status": "text", "cost_usd": "number", "started_at": "moment", "completed_at": "moment"},
    "agent-task": {"status": "text", "cost_usd": "number", "tokens": "number"},
}
"""What the two statistics read of each kind of table."""


def identifier(name: str) -> str:
    """A name as SQL.

    >>> print(identifier('the "best" name'))
    "the ""best"" name"
    """
    if not name or "\0" in name:
        raise ValueError(f"no name of anything in a database: {name!r}")
    return '"' + name.replace('"', '""') + '"'


def qualified(name: str) -> str:
    """`schema.table` as SQL.

    >>> qualified("public.connector call")
    '"public"."connector call"'
    """
    schema, _, table = name.partition(".")
    return f"{identifier(schema)}.{identifier(table)}"


def literal(text: str) -> str:
    """A text as SQL.

    >>> literal("it's")
    "'it''s'"
    """
    if "\0" in text:
        raise ValueError(f"no text in a database: {text!r}")
    return "'" + text.replace("'", "''") + "'"


def owner(table: Table) -> str:
    """The owner of the row r, as capture resolves it."""
    if table.owner in table.columns:
        return f"r.{identifier(table.owner)}::text"
    return f"({table.owner})::text"


def owned(table: Table, parameter: int) -> str:
    """A condition on r: it belongs to one of the values in this parameter, a text[] that `Table.owners` has made."""
    values = f"${parameter}::text[]"
    exactly = f'({owner(table)}) collate "C" = any ({values})'
    if not table.owner_is_indexable:
        return exactly
    typed = f"any ({values}::{table.owner_type}[])"
    if table.owner in table.columns:
        # A collation of the column's own may take two texts for equal.
        return f"r.{identifier(table.owner)} = {typed}" + (f" and {exactly}" if table.owner_is_text else "")
    walk = parents_of(table.owner)
    if walk is None:
        return exactly
    # Said the other way round, from the owner to the row, the planner can begin at the owner; the exact condition stands
    # beside it, so that a misread expression could cost time, and never show somebody else's row.
    return f"exists (select from {walk.tables} where ({walk.condition}) and {walk.owner} = {typed}) and {exactly}"


def by_owner(table: Table) -> str:
    """What the dashboard's numbers of some owners' rows come to, by owner and status. $1: the owners' values."""
    uses = DASHBOARD[table.typed.kind]
    status, cost = value(table, "status", uses), value(table, "cost_usd", uses)
    sums = [f"{owner(table)} as owner", f"{status} as status", "count(*) as rows", f"{_sum(cost)} as cost"]
    if table.typed.kind == "execution":
        took = (
            f"(extract(epoch from {value(table, 'completed_at', uses)} - {value(table, 'started_at', uses)}) * 1000000)"
        )
        sums += [f"count({took}) as timed", f"{_sum(took)} as microseconds"]
    else:
        sums.append(f"{_sum(value(table, 'tokens', uses))} as tokens")
    return f"select {', '.join(sums)} from {table.relation} as r where {owned(table, 1)} group by 1, 2"


def by_dimension(table: Table) -> str | None:
    """What everybody's rows cost since a day ($1), by each dimension alone; None where rows have no day."""
    uses = COSTS[table.typed.kind]
    execution = table.typed.kind == "execution"
    at = "started_at" if execution else "created_at"
    column = table.column(at)
    if column is None or at not in table.shape(uses).columns:
        return None
    dimensions = ["workflow_id"] if execution else ["agent", "task_type"]
    picked = [f"({value(table, at, uses)})::date::text as day"]
    picked += [f"{value(table, name, uses)} as {name}" for name in dimensions]
    picked += [f"{value(table, 'cost_usd', uses)} as cost"]
    picked += [f"{'null::numeric' if execution else value(table, 'tokens', uses)} as tokens"]
    names = ["day", *dimensions]
    level = " ".join(f"when grouping({name}) = 0 then '{name}'" for name in names)
    single = " ".join(f"when grouping({name}) = 0 then {name}" for name in names)
    return (
        f"select case {level} end as dimension, case {single} end as name, count(*) as rows, {_sum('cost')} as cost,"
        f" {_sum('tokens')} as tokens"
        f" from (select {', '.join(picked)} from {table.relation} as r"
        f" where r.{identifier(column.name)} >= $1::text::{column.type} and isfinite(r.{identifier(column.name)})) as r"
        f" group by grouping sets ({', '.join(f'({name})' for name in names)})"
    )


def page(table: Table, *, filters: Sequence[str], after: Sequence[str | None] | None) -> str:
    """Some owners' rows, the newest first, as event data; each with its place in that order.

    $1: the owners' values; $2: how many; then for each of the fields in `filters` the values that it may have, as a text[]
    that `Column.possible` has made; then the members of `after` that are not null.
    """
    newest = newest_column(table)
    place = ([] if newest is None else [newest]) + [table.columns[name] for name in table.key]
    members = sorted({*table.fields().values(), *table.key})
    data = ", ".join(f"{literal(name)}, r.{identifier(name)}" for name in members)
    conditions = [owned(table, 1)]
    conditions += [_among(table, field, number) for number, field in enumerate(filters, start=3)]
    if after is not None:
        conditions.append(_after(place, after, first=3 + len(filters), nulls=newest is not None))
    # Descending, nulls come first: what has no time yet is the newest of all.
    order = ", ".join(f"r.{identifier(column.name)} desc" for column in place)
    return (
        f"select jsonb_build_object({data})::text as data,"
        f" array[{', '.join(f'r.{identifier(column.name)}::text' for column in place)}] as place"
        f" from {table.relation} as r where {' and '.join(f'({condition})' for condition in conditions)}"
        f" order by {order} limit $2"
    )


def connectors(names: ConnectorTables) -> str:
    """How each connector's calls went. $1: since when; $2 and $3: the statuses of errors and of timeouts."""
    connector = {
        name: f"c.{identifier(names.connector_columns.get(name, name))}" for name in ("id", "name", "provider")
    }
    call = {
        name: f"r.{identifier(names.call_columns.get(name, name))}"
        for name in ("connector_id", "status", "latency_ms", "created_at")
    }
    return (
        f"select {', '.join(f'{name}::text as {field}' for field, name in connector.items())},"
        " coalesce(k.calls, 0) as calls, coalesce(k.errors, 0) as errors, coalesce(k.timeouts, 0) as timeouts, k.p50, k.p95"
        f" from {qualified(names.connectors)} as c left join ("
        f"select {call['connector_id']} as connector_id, count(*) as calls,"
        f" count(*) filter (where {call['status']}::text = any ($2::text[])) as errors,"
        f" count(*) filter (where {call['status']}::text = any ($3::text[])) as timeouts,"
        f" percentile_disc(0.5) within group (order by {call['latency_ms']}) as p50,"
        f" percentile_disc(0.95) within group (order by {call['latency_ms']}) as p95"
        f" from {qualified(names.calls)} as r where {call['created_at']} >= $1 group by 1"
        f") as k on k.connector_id = {connector['id']} order by {connector['name']}, {connector['id']}"
    )


def newest_column(table: Table) -> Column | None:
    """What rows are ordered by, before their key; None where there is no such column."""
    column = table.column(NEWEST[table.typed.kind])
    return column if column is not None and (column.usable("moment") or column.usable("number")) else None


def value(table: Table, field: str, uses: Mapping[str, Use], *, watched: bool = True) -> str:
    """A field of r as Shape reads it from an event: null where it cannot be used.

    `watched`: only what events carry is read, for numbers that must come to the same as the events'.
    """
    use, column = uses[field], table.column(field)
    if column is None or not column.usable(use) or (watched and column.name not in table.watched):
        return {"text": "null::text", "number": "null::numeric", "moment": "null::timestamptz"}[use]
    name = f"r.{identifier(column.name)}"
    if use == "moment":
        return f"case when isfinite({name}::timestamptz) then {name}::timestamptz end"
    if use == "text":
        plain = column.type in ("text", "character varying", "uuid") or column.category == "E"
        return f"{name}::text" if plain else f"to_jsonb({name}) #>> '{{}}'"
    if column.type == "numeric":
        return f"case when {name} in ('NaN', 'Infinity', '-Infinity') then null else {name} end"
    if column.type in ("real", "double precision"):
        # Its digits are those that JSON gives it: a cast to numeric would round it to fewer.
        return f"case jsonb_typeof(to_jsonb({name})) when 'number' then to_jsonb({name})::text::numeric end"
    return f"{name}::numeric"


def _sum(expression: str) -> str:
    return f"coalesce(sum({expression}), 0)::numeric"


def _among(table: Table, field: str, parameter: int) -> str:
    """A condition on r: this field has one of the values in the parameter."""
    column = table.column(field)
    if column is not None and column.is_plain:
        return f"r.{identifier(column.name)} = any (${parameter}::text[]::{column.type}[])"
    return f"({value(table, field, {field: 'text'}, watched=False)}) = any (${parameter}::text[])"


def _after(place: Sequence[Column], after: Sequence[str | None], first: int, *, nulls: bool) -> str:
    """A condition on r: it comes after this place. `nulls`: the first column may be null, which comes before all else."""
    columns = [f"r.{identifier(column.name)}" for column in place]
    numbers = count(first)
    values = [
        None if text is None else f"${next(numbers)}::text::{c.type}" for text, c in zip(after, place, strict=True)
    ]
    if nulls and values[0] is None:
        return f"{columns[0]} is not null or ({', '.join(columns[1:])}) < ({', '.join(map(str, values[1:]))})"
    return f"({', '.join(columns)}) < ({', '.join(map(str, values))})"
