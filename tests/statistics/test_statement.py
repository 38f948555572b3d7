"""SQL that is put together: how names get into it, and which owner expressions can be gone backwards."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changefeed import statement
from changefeed.event import Owner
from changefeed.ownership import Walk, parents_of
from changefeed.sources import TaskSource
from changefeed.table import Column, Table


@pytest.mark.parametrize(
    ("expression", "walk"),
    [
        (
            "(select w.owner_id from workflow w where w.id = r.workflow_id)",
            Walk("w.owner_id", "workflow w", "w.id = r.workflow_id"),
        ),
        (
            'SELECT "W"."Owner" FROM app."Work flow" AS "W" WHERE r.workflow_id = "W".id',
            Walk('"W"."Owner"', 'app."Work flow" AS "W"', 'r.workflow_id = "W".id'),
        ),
        (
            "((select p.owner from a join b on b.id = a.b_id, p where a.id = r.a_id and (p.id = b.p_id)))",
            Walk("p.owner", "a join b on b.id = a.b_id, p", "a.id = r.a_id and (p.id = b.p_id)"),
        ),
    ],
)
def test_an_expression_that_walks_over_parents_is_taken_apart(expression: str, walk: Walk) -> None:
    assert parents_of(expression) == walk


@pytest.mark.parametrize(
    "expression",
    [
        "user_id",
        "coalesce(r.a, r.b)",
        "(select w.owner_id from workflow w where w.id = r.workflow_id or w.public)",
        "(select w.owner_id from workflow w where w.id = r.workflow_id limit 1)",
        "(select w.owner_id from workflow w where w.id = r.workflow_id order by w.id)",
        "(select w.owner_id from workflow w where not w.id = r.workflow_id)",
        "(select w.owner_id from workflow w where w.id > r.workflow_id)",
        "(select w.owner_id from workflow w where w.id = 7)",
        "(select w.owner_id from workflow w left join t on t.id = w.id where w.id = r.workflow_id)",
        "(select max(w.owner_id) from workflow w where w.id = r.workflow_id)",
        "(select w.owner_id from workflow w where w.id = r.workflow_id group by w.owner_id)",
        "(select w.owner_id from workflow w where w.id = r.a) union (select w.owner_id from workflow w where w.id = r.b)",
        "(select w.owner_id from workflow w where w.id = (select 1 from t where t.a = r.b))",
        "(select w.owner_id from workflow w where w.id = r.workflow_id) -- a comment",
        "(select w.owner_id from workflow w)",
        "(select w.owner_id from workflow w where w.id = r.workflow_id))",
        "",
        "(select",
    ],
)
def test_any_other_expression_is_left_alone(expression: str) -> None:
    assert parents_of(expression) is None


@given(st.text(min_size=1).filter(lambda text: "\0" not in text))
def test_a_quoted_name_ends_where_it_should(name: str) -> None:
    quoted = statement.identifier(name)
    assert quoted[0] == quoted[-1] == '"'
    assert quoted[1:-1].replace('""', "").count('"') == 0
    assert quoted[1:-1].replace('""', '"') == name


@given(st.text().filter(lambda text: "\0" not in text))
def test_a_quoted_text_ends_where_it_should(text: str) -> None:
    quoted = statement.literal(text)
    assert quoted[1:-1].replace("''", "").count("'") == 0
    assert quoted[1:-1].replace("''", "'") == text


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        statement.identifier(name)


def table(owner_type: str, owner: str = "user_id") -> Table:
    columns = {name: Column(name, kind, "U") for name, kind in (("id", "uuid"), ("user_id", owner_type))}
    return Table(
        "public.t", TaskSource(), '"public"."t"', columns, ("id",), frozenset(columns), owner, "user", owner_type, None
    )


@pytest.mark.parametrize(
    ("owner_type", "values", "possible"),
    [
        (
            "uuid",
            ["00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000A", "{}", "1", ""],
            ["00000000-0000-4000-8000-00000000000a"],
        ),
        (
            "integer",
            ["1", "01", "+1", "-1", "-0", "2147483647", "2147483648", "1.0", " 1", "\uff11", "1\n"],
            ["-1", "1", "2147483647"],
        ),
        ("bigint", ["9223372036854775807", "9223372036854775808"], ["9223372036854775807"]),
        ("text", ["a", "A ", "", "a\0"], ["", "A ", "a"]),
        ("citext", ["a"], ["a"]),
    ],
)
def test_only_the_text_that_postgres_would_write_names_an_owner(
    owner_type: str, values: list[str], possible: list[str]
) -> None:
    assert table(owner_type).owners(Owner("user", value) for value in values) == possible


def test_an_owner_of_another_kind_owns_nothing() -> None:
    assert table("text").owners([Owner("org", "1"), Owner("user", "2")]) == ["2"]


@pytest.mark.parametrize(
    ("owner_type", "by_index", "as_text"), [("uuid", True, False), ("text", True, True), ("citext", False, True)]
)
def test_a_collation_or_type_that_takes_texts_for_equal_is_not_believed(
    owner_type: str, by_index: bool, as_text: bool
) -> None:
    condition = statement.owned(table(owner_type), 1)
    assert (f'r."user_id" = any ($1::text[]::{owner_type}[])' in condition) == by_index
    assert ('collate "C"' in condition) == as_text


def test_the_owner_expression_stands_beside_its_reverse() -> None:
    owner: Any = "(select w.owner_id from workflow w where w.id = r.workflow_id)"
    condition = statement.owned(table("uuid", owner), 1)
    assert condition.startswith("exists (select from workflow w where (w.id = r.workflow_id) and w.owner_id = any (")
    assert condition.endswith(f'and (({owner})::text) collate "C" = any ($1::text[])')
