"""The write path: transactions a second without a trigger, with what others do, and with ours while a relay drains.

What others do is a row-level trigger that NOTIFYs the changed row in each transaction. pgbench writes (it is in the
embedded binaries), one-row UPDATEs of random executions. The three take turns in every round, on one server.
"""

import asyncio
import re
import statistics
from contextlib import AsyncExitStack

import asyncpg

from demo.postgres import Postgres, installed_binaries

from .place import Place, furnish, postgres, relay
from .result import Result

NOTIFY = """
create function tell() returns trigger language plpgsql as $$ begin
  perform pg_notify('rows', json_build_object('table', tg_table_name, 'id', new.id, 'status', new.status)::text);
  return null;
end $$;
create trigger tell after insert or update or delete on workflow_execution for each row execute function tell();
"""
ROWS = 20_000
SCRIPT = f"\\set n random(0, {ROWS - 1})\nupdate workflow_execution set progress = progress + 1 where id = md5(:n::text)::uuid;\n"
KINDS = ("no trigger", "NOTIFY", "changefeed")


async def measure(rounds: int, seconds: int) -> list[Result]:
    """Both rows: an ordinary flush, and one that takes a millisecond."""
    local = await _compare("Write path, 32 writers", 0.0, 32, rounds, seconds)
    local.compare("changefeed against NOTIFY", _ratio(local, "changefeed", "NOTIFY"), 3, at_least=True)
    local.compare("changefeed against no trigger", _ratio(local, "changefeed", "no trigger"), 0.65, at_least=True)
    slow = await _compare("Write path, 64 writers, 1 ms commit flush", 1.0, 64, rounds, seconds)
    slow.compare("changefeed against NOTIFY", _ratio(slow, "changefeed", "NOTIFY"), 8, at_least=True)
    slow.compare("changefeed against no trigger", _ratio(slow, "changefeed", "no trigger"), 0.5, at_least=True)
    return [local, slow]


async def _compare(name: str, flush_ms: float, writers: int, rounds: int, seconds: int) -> Result:
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with postgres(flush_ms) as server:
        places = {
            kind: await furnish(server, kind.replace(" ", "_").lower(), 1000, ROWS, migrate=kind == "changefeed")
            for kind in KINDS
        }
        await _install_notify(places["NOTIFY"])
        async with AsyncExitStack() as stack:
            listener = await asyncpg.connect(places["NOTIFY"].dsns.feed_dsn)
            stack.push_async_callback(listener.close)
            await listener.add_listener("rows", lambda *_: None)
            await stack.enter_async_context(relay(places["changefeed"]))
            for kind in KINDS:
                await _pgbench(server, places[kind], writers, 2)
            for _ in range(rounds):
                for kind in KINDS:
                    found[kind].append(await _pgbench(server, places[kind], writers, seconds))
    how = f"{writers} writers, one-row UPDATEs, {rounds} rounds of {seconds} s each in turn; medians."
    result = Result(name, how, raw=dict(found))
    result.table = [["", "transactions/s, median", "lowest", "highest"]]
    for kind in KINDS:
        numbers = found[kind]
        result.table.append(
            [kind, f"{statistics.median(numbers):,.0f}", f"{min(numbers):,.0f}", f"{max(numbers):,.0f}"]
        )
    return result


def _ratio(result: Result, one: str, other: str) -> float:
    # Of each round, because rounds are what noise is common to.
    ratios: list[float] = [a / b for a, b in zip(result.raw[one], result.raw[other], strict=True)]
    return statistics.median(ratios)


async def _install_notify(place: Place) -> None:
    connection = await asyncpg.connect(place.dsns.app_dsn)
    try:
        await connection.execute(NOTIFY)
    finally:
        await connection.close()


async def _pgbench(server: Postgres, place: Place, writers: int, seconds: int) -> float:
    """Transactions a second. Raises RuntimeError where pgbench fails."""
    pgbench = await asyncio.create_subprocess_exec(
        installed_binaries() / "pgbench",
        *("--no-vacuum", "--protocol=prepared", "--client", str(writers), "--jobs", "2", "--time", str(seconds)),
        *("--file", "/dev/stdin", place.dsns.app_dsn),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await pgbench.communicate(SCRIPT.encode())
    found = re.search(rb"tps = ([0-9.]+)", output)
    if found is None:
        raise RuntimeError(f"pgbench failed:\n{output.decode()}\n{server.log()[-2000:]}")
    return float(found[1])
