"""The SQL of changefeed: the schema as it is today, and every query that Python sends.

`schema_files()` lists the files that make up the schema in the order in which they are installed; the migrations hold
frozen copies of them, and a test proves that both come to the same. `query(name)` is one query of `queries/`.
Nothing here connects to a database.
"""

from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent


def schema_files() -> list[Path]:
    """Tables first, then functions: a function's body is checked when it is called, save those that come first.

    Privileges last, when everything is there that they are about.
    """
    first = ("slot", "epoch")
    functions = sorted((_HERE / "functions").glob("*.sql"), key=lambda path: (path.stem not in first, path.stem))
    return [_HERE / "tables.sql", *functions, _HERE / "privileges.sql"]


@cache
def query(name: str) -> str:
    """The text of `queries/<name>.sql`. Raises FileNotFoundError for a name that is not there."""
    return (_HERE / "queries" / f"{name}.sql").read_text(encoding="utf-8")
