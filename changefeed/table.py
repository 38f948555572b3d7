"""A table of the host's as it is now: its columns, its key, and to whom a row belongs.

What the capture trigger does with an owner expression is what SQL does here: the same text, over the same row alias `r`,
under the same search path, so that whoever sees an event of a row sees the row. Pure.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from .event import Owner
from .shape import Shape
from .sources import FIELDS, ExecutionSource, TypedSource

IDENTITIES = {"execution": "execution_id", "agent-task": "task_id"}
"""The field that is the column `id` where the settings say nothing else."""
NEWEST = {"execution": "started_at", "agent-task": "created_at"}
"""What makes one row newer than another."""

_INTEGERS = {"smallint": 1 << 15, "integer": 1 << 31, "bigint": 1 << 63}
_TEXTS = ("text", "character varying")
Use = Literal["text", "number", "moment"]


@dataclass(frozen=True, slots=True)
class Column:
    """`type`: as format_type() writes it, of a domain its base type's. `category`: pg_type.typcategory."""

    name: str
    type: str
    category: str

    def usable(self, use: Use) -> bool:
        """Whether it can be read as one."""
        if use == "number":
            return self.type in (*_INTEGERS, "numeric", "real", "double precision")
        if use == "moment":
            return self.type in ("timestamp with time zone", "timestamp without time zone", "date")
        return self.category in "SEBN" or self.type == "uuid"

    @property
    def is_plain(self) -> bool:
        """Whether two values are equal exactly when their texts are, so that an index of the column's can find a text."""
        return self.type == "uuid" or self.type in _INTEGERS

    def possible(self, values: Iterable[str]) -> list[str]:
        """Those of the texts that a value of this column can have."""
        return sorted({value for value in values if _canonical(value, self.type)})


@dataclass(frozen=True, slots=True)
class Table:
    """One typed source that is watched."""

    source: str
    typed: TypedSource
    relation: str
    """Its name, quoted."""
    columns: Mapping[str, Column]
    key: tuple[str, ...]
    watched: Collection[str]
    owner: str
    """A column, or an expression over the row alias r."""
    owner_kind: str
    owner_type: str
    search_path: str | None
    """Under which the expression is to be read; None: the session's own."""

    def column(self, field: str) -> Column | None:
        """The column that holds this field; None where there is none."""
        usual = "id" if field == IDENTITIES[self.typed.kind] else field
        return self.columns.get(self.typed.columns.get(field, usual))

    def fields(self) -> dict[str, str]:
        """Field → column, of those that the table has."""
        return {field: found.name for field in FIELDS[self.typed.kind] if (found := self.column(field)) is not None}

    def shape(self, uses: Mapping[str, Use]) -> Shape:
        """Where in events of it these fields are found: those whose columns are watched, and of a type for their use."""
        columns = {}
        for field, use in uses.items():
            column = self.column(field)
            if column is not None and column.name in self.watched and column.usable(use):
                columns[field] = column.name
        if isinstance(self.typed, ExecutionSource):
            return Shape("execution", columns, self.typed.completed, self.typed.failed)
        return Shape("agent-task", columns)

    def owners(self, owners: Iterable[Owner]) -> list[str]:
        """The values of these owners that a row of this table can have.

        A value is compared as text when an event is routed, so what the column's type would take for another one's equal
        (a uuid in capitals, a number with a zero before it) is nobody's here either.
        """
        values = {owner.value for owner in owners if owner.kind == self.owner_kind}
        return sorted(value for value in values if _canonical(value, self.owner_type))

    @property
    def owner_is_indexable(self) -> bool:
        """Whether a comparison in the owner's own type, which an index can serve, says the same as one of texts."""
        return self.owner_type == "uuid" or self.owner_type in _INTEGERS or self.owner_is_text

    @property
    def owner_is_text(self) -> bool:
        """Whether owners are texts, which a collation may take for equal although they differ."""
        return self.owner_type in _TEXTS


def _canonical(value: str, type_name: str) -> bool:
    if type_name == "uuid":
        try:
            return str(UUID(value)) == value
        except ValueError:
            return False
    if (limit := _INTEGERS.get(type_name)) is not None:
        return bool(re.fullmatch(r"0|-?[1-9][0-9]{0,18}", value)) and -limit <= int(value) < limit
    return "\0" not in value
