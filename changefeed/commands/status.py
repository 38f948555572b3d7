"""`changefeed status`: what the database says about the feed."""

from dataclasses import dataclass
from typing import Any

import asyncpg

from ..errors import NotInstalledError
from ..listener import LEADER, LOCK_CLASS
from ..sql import query
from ..watch import Watch, watches


@dataclass(frozen=True, slots=True)
class Status:
    """Read at one moment."""

    revision: str | None
    leader: int | None
    """The backend of the leading relay."""
    leader_silent: float | None
    """Seconds since it last said something."""
    leased: bool
    watches: tuple[Watch, ...]

    @classmethod
    async def read(cls, connection: "asyncpg.Connection[Any]") -> "Status":
        """Raises NotInstalledError, asyncpg.PostgresError."""
        if not await connection.fetchval("select to_regclass('changefeed.state') is not null"):
            raise NotInstalledError("changefeed is not installed in this database. Run: changefeed migrate")
        leader = await connection.fetchrow(query("leader"), LOCK_CLASS, LEADER)
        return cls(
            revision=await connection.fetchval("select version_num from changefeed.alembic_version"),
            leader=None if leader is None else leader["pid"],
            leader_silent=None if leader is None else leader["silent"],
            leased=await connection.fetchval("select until > clock_timestamp() from changefeed.state"),
            watches=await watches(connection),
        )

    @property
    def problems(self) -> list[str]:
        """What is wrong, each with what to do; empty where nothing is."""
        found = [watch.problem for watch in self.watches if watch.problem is not None]
        if self.leader is None:
            found.append("no relay is running: start the API, or `changefeed relay`")
        if not self.leased:
            found.append("capture has stopped, because no relay led for too long: start one")
        if not self.watches:
            found.append("no table is watched: changefeed watch TABLE --owner COLUMN")
        return found

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "revision": self.revision,
            "leader": self.leader,
            "leader_silent_seconds": self.leader_silent,
            "capturing": self.leased,
            "watches": [
                {
                    "table": watch.source,
                    "owner": watch.owner,
                    "owner_kind": watch.owner_kind,
                    "columns": list(watch.columns),
                    "paused": watch.paused,
                    "problem": watch.problem,
                }
                for watch in self.watches
            ],
            "problems": self.problems,
        }

    def as_text(self) -> str:
        """For people."""
        led = "none" if self.leader is None else f"database session {self.leader}"
        lines = [f"schema:  revision {self.revision}", f"leader:  {led}", "watched:"]
        for watch in self.watches:
            state = watch.problem or ("paused" if watch.paused else "captured")
            lines.append(f"  {watch.source}  ({watch.owner_kind}: {watch.owner})  {state}")
        lines += [f"problem: {problem}" for problem in self.problems]
        return "\n".join(lines)
