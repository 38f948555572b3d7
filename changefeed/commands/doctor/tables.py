"""Every watched table: are its triggers there, do they run, and do they still fit the table?"""

from collections.abc import Iterator, Mapping, Sequence

from ...watch import TRIGGERS, VERSION
from ..watched import Watched, literal
from .finding import Finding, Patient, ok, problem, warning

BODIES = """
select p.proname::text as name, encode(sha256(convert_to(p.prosrc, 'UTF8')), 'hex') as digest
  from pg_proc p where p.pronamespace = 'changefeed'::regnamespace and p.proname ~ '^(capture|parent)_[0-9]'
"""


async def watched_tables(patient: Patient) -> Sequence[Finding]:
    """One finding a table where nothing is wrong with it, one for each thing that is."""
    if not patient.watches:
        return [
            problem("tables", "no table is watched, so nothing is captured", "changefeed watch TABLE --owner COLUMN")
        ]
    bodies = {row["name"]: row["digest"] for row in await patient.connection.fetch(BODIES)}
    found: list[Finding] = []
    for watch in patient.watches:
        if not watch.source.startswith("changefeed."):  # another doctor's canary
            name = f"table {watch.source}"
            found += list(_findings(name, watch, bodies)) or [
                ok(name, "its four triggers are in place, and fit the table")
            ]
    return found


def _findings(name: str, watch: Watched, bodies: Mapping[str, str]) -> Iterator[Finding]:
    if watch.name is None:
        sentence = "it is no more, and is still listed as watched"
        yield problem(
            name, sentence, f"select changefeed.unwatch({watch.relation}), and watch what has taken its place"
        )
        return
    again = _watch_again(watch)
    if watch.triggers < TRIGGERS:
        yield problem(name, f"{TRIGGERS - watch.triggers} of its {TRIGGERS} triggers are missing", again)
    if watch.paused:
        yield warning(
            name,
            "its capture is paused: nothing that is written is seen",
            f"select changefeed.resume('{watch.source}')",
        )
    elif watch.enabled < watch.triggers:
        yield problem(
            name,
            f"{watch.triggers - watch.enabled} of its triggers are disabled: what they would have seen is lost to clients",
            f"select changefeed.resume('{watch.source}'), which also tells clients to refetch",
        )
    if watch.lost:
        yield problem(
            name,
            f"{', '.join(watch.lost)} {'is' if len(watch.lost) == 1 else 'are'} watched, and was dropped or renamed: every "
            "capture fails, and clients are told to refetch instead",
            again,
        )
    if watch.present_key != watch.key and not set(watch.lost) & set(watch.key):
        now = ", ".join(watch.present_key) or "gone"
        yield problem(name, f"its primary key was {', '.join(watch.key)} when it was watched, and is {now}", again)
    if watch.version != VERSION:
        sentence = f"its trigger functions are of version {watch.version}, and this release writes version {VERSION}"
        yield problem(name, sentence, again)
    if changed := sorted(function for function, digest in watch.functions.items() if bodies.get(function) != digest):
        yield problem(
            name, f"{', '.join(changed)} is not what changefeed has written: somebody changed or dropped it", again
        )
    if _plain(watch.name) != watch.source:
        yield warning(name, f"it is called {_plain(watch.name)} now, and its events still say {watch.source}", again)


def _watch_again(watch: Watched) -> str:
    columns = [name for name in watch.columns if name in watch.types]
    given = {
        "columns": f"array[{', '.join(map(literal, columns))}]::text[]",
        "owner_kind": literal(watch.owner_kind),
        "bulk_rows": str(watch.bulk_rows),
        "fail_closed": str(watch.fail_closed).lower(),
    }
    told = ", ".join(f"{name} => {value}" for name, value in given.items())
    return f"watch it again: select changefeed.watch({literal(watch.name or watch.source)}, {literal(watch.owner)}, {told})"


def _plain(name: str) -> str:
    """As it stands in events: without the quotes that SQL may want."""
    return name.replace('"', "")
