"""Recognise an owner expression that walks to its owner over parent tables, so that the walk can be gone backwards.

    (select w.owner_id from workflow w where w.id = r.workflow_id)

says for each row who owns it; to find the rows of an owner, Postgres would have to ask it of every row. Taken apart, it
also says which rows an owner's workflows have, which indexes can answer. Only what is exactly of that kind is taken
apart: one sub-select of one column, FROM tables with nothing but equalities of columns joined by AND. Pure.
"""

import re
from dataclasses import dataclass

_TOKEN = re.compile(r'\s*(?:(?P<word>[A-Za-z_][A-Za-z0-9_$]*)|(?P<quoted>"(?:[^"]|"")+")|(?P<sign>[.,()=]))')
_FOREIGN = frozenset(
    """all any between case collate cross distinct except exists false fetch filter for full group having in intersect into
    is lateral left like limit natural not null offset only or order outer over right select some tablesample true union using
    values window with within""".split()  # noqa: SIM905 a list of this length is easier to read as one text
)


@dataclass(frozen=True, slots=True)
class Walk:
    """The parts of `(select OWNER from TABLES where CONDITION)`."""

    owner: str
    tables: str
    condition: str


def parents_of(expression: str) -> Walk | None:
    """The parts of an owner expression; None where it is not of that kind.

    >>> parents_of("(select w.owner_id from workflow w where w.id = r.workflow_id)")
    Walk(owner='w.owner_id', tables='workflow w', condition='w.id = r.workflow_id')
    >>> parents_of("coalesce(r.owner_id, r.created_by)")
    """
    tokens = _tokens(expression)
    while tokens and tokens[0].text == "(" and tokens[-1].text == ")":
        tokens = tokens[1:-1]
    words = [token.word for token in tokens]
    if words[:1] != ["select"] or words.count("from") != 1 or words.count("where") != 1:
        return None
    start, middle = words.index("from"), words.index("where")
    picked, tables, condition = tokens[1:start], tokens[start + 1 : middle], tokens[middle + 1 :]
    if [token.text for token in picked][1:2] != ["."] or len(picked) != 3:
        return None
    for part in (tables, condition):
        if not part or not _FOREIGN.isdisjoint(token.word for token in part) or not _is_balanced(part):
            return None
    if not any(token.text == "=" for token in condition):
        return None
    return Walk(*(expression[part[0].start : part[-1].end] for part in (picked, tables, condition)))


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    word: str
    """In small letters, where it is a bare word."""
    start: int
    end: int


def _tokens(expression: str) -> list[_Token]:
    """None at all where something is in it that the kind does not have: a literal, a comment, another operator."""
    tokens, place, text = [], 0, expression.rstrip()
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            return []
        word = (found["word"] or "").lower()
        token = found["word"] or found["quoted"] or found["sign"]
        tokens.append(_Token(token, word, found.end() - len(token), found.end()))
        place = found.end()
    return tokens


def _is_balanced(tokens: list[_Token]) -> bool:
    depth = 0
    for token in tokens:
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth < 0:
            return False
    return depth == 0
