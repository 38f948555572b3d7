"""A very small psql, for machines that have none: runs SQL and prints the rows.

    python -m demo.psql DSN -c "select 1"
    echo "select 1" | python -m demo.psql DSN

Guarantees: one statement prints its rows, tab-separated under a heading, NULL as nothing; several at once run
as one transaction and print only how the last one ended. An error prints the server's message, with exit code
1. Has no meta-commands and no line editing.
"""

import argparse
import asyncio
import sys

import asyncpg


async def run(dsn: str, sql: str) -> list[str]:
    """The lines to print. Raises asyncpg.PostgresError, OSError."""
    connection = await asyncpg.connect(dsn)
    try:
        try:
            statement = await connection.prepare(sql)
        except asyncpg.PostgresSyntaxError as refusal:
            if "multiple commands" not in str(refusal):
                raise
            return [await connection.execute(sql)]
        rows = await statement.fetch()
        names = [attribute.name for attribute in statement.get_attributes()]
        if not names:
            return [statement.get_statusmsg() or ""]
        lines = ["\t".join("" if value is None else str(value) for value in row.values()) for row in rows]
        return ["\t".join(names), *lines, f"({len(rows)} row{'' if len(rows) == 1 else 's'})"]
    finally:
        await connection.close()


def main() -> int:
    """The command line. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m demo.psql", description="Runs SQL and prints the rows.")
    parser.add_argument("dsn", help="postgresql://user:password@host:port/database")
    parser.add_argument("-c", dest="sql", help="the SQL; read from standard input when not given")
    arguments = parser.parse_args()
    try:
        lines = asyncio.run(run(arguments.dsn, arguments.sql or sys.stdin.read()))
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 1
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
