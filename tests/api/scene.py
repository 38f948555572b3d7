"""Who is there in a history of an application's users and the service, and what they have: tokens, places, rows."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from changefeed.cursor import Cursor, Snapshot
from tests.api.onlookers import Onlooker
from tests.api.possessions import Owner, Possessions
from tests.support.issuer import claims, segment, token
from tests.support.site import Site

BAD = {"expired": "token-expired", "forged": "token-key", "unsigned": "token-algorithm"}
"""Tokens that let nobody in, and what is said of them."""
CLAIMS: Mapping[str, Callable[["Scene", str, str], dict[str, Any]]] = {
    "plain": lambda _scene, _me, _other: {},
    "team": lambda scene, me, _other: {"org": scene.rows.team(me)},
    "teams": lambda scene, _me, _other: {"org": scene.rows.teams},
    "admin": lambda _scene, _me, _other: {"role": "admin"},
    "posing": lambda _scene, _me, other: {"org": [other, other.upper()], "user": other, "owner": other},
    "shouted": lambda _scene, me, _other: {"sub": me.upper()},
    "namesake": lambda scene, me, _other: {"sub": scene.rows.team(me)},
}
"""Good tokens, some of which only look as if they were somebody else's."""


@dataclass(frozen=True)
class Since:
    """The place that somebody says he has reached: his own, another's, or one that was made up."""

    kind: str
    number: int = 0
    running: tuple[int, ...] = ()
    text: str = ""

    def place(self, told: Sequence[str]) -> str | None:
        """`told`: every place that anybody was told, the oldest first."""
        true = Cursor.parse(told[-1])
        match self.kind:
            case "told":
                return told[self.number % len(told)]
            case "forged":
                begin = max(1, true.snapshot.xmax - self.number)
                inside = frozenset(begin + step for step in self.running)
                return str(Cursor(true.epoch, Snapshot(begin, begin + max((*self.running, self.number)) + 1, inside)))
            case "epoch":
                return str(Cursor(true.epoch[::-1], true.snapshot))
            case "text":
                return f"{told[self.number % len(told)]}{self.text}"
            case _:
                return None


class Scene:
    """One history: who is there, and what they have."""

    def __init__(self, site: Site, people: int) -> None:
        self.site = site
        self.rows: Possessions = Possessions(site.app, people)
        self.onlookers: list[Onlooker] = []
        self.places: list[str] = []
        """In lists, as anybody was told."""
        self.first: list[str] = []
        """The place that each person was told when he came first."""
        self.issued: dict[str, int] = {}
        """Since when tokens of those who were kicked are good again."""
        self._told: list[str] = []

    @property
    def told(self) -> list[str]:
        """Every place that anybody was told."""
        found = [message["cursor"] for one in self.onlookers for message in one.client.seen if "cursor" in message]
        self._told += sorted(set(found) - set(self._told), key=lambda text: Cursor.parse(text).snapshot.xmax)
        return self._told

    def person(self, number: int) -> str:
        return self.rows.people[number % len(self.rows.people)]

    def token(self, number: int, claimed: str) -> tuple[str, str, set[Owner]]:
        """A token, the person that it names, and the owners that it makes him; none where it is a bad one."""
        me, other = self.person(number), self.person(number + 1)
        now = int(time.time())
        good = claims(sub=me, iat=self.issued.get(me, now - 10), exp=now + 3600)
        match claimed:
            case "expired":
                return token(good | {"iat": now - 7200, "exp": now - 3600}), me, set()
            case "forged":
                return token(good, "another secret, which is as long as the good one"), me, set()
            case "unsigned":
                return f"{segment({'alg': 'none', 'typ': 'JWT'})}.{segment(good)}.", me, set()
        good |= CLAIMS[claimed](self, me, other)
        teams = good.get("org", [])
        return (
            token(good),
            good["sub"],
            {("user", good["sub"]), *(("org", team) for team in ([teams] if isinstance(teams, str) else teams))},
        )
