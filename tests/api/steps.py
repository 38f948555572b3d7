"""What users do to the service: they come and go, say things, ask over REST, and are kicked.

A step picks by number, and passes over what is not there to be picked: any list of steps is a history. Guarantees: whoever
is to be turned away was, and for that reason.
"""

from dataclasses import dataclass

import httpx

from tests.api.onlookers import Onlooker, ids, numbers_of, until
from tests.api.possessions import EXECUTION, NOTE, TASK, leaves
from tests.api.scene import BAD, Scene, Since
from tests.support.service import LONGEST
from tests.support.subscribers import WebSocketSubscriber


@dataclass(frozen=True)
class Join:
    """Somebody comes, if he is let in."""

    who: int
    transport: str
    claimed: str
    topics: tuple[str, ...] | None = None
    mode: str = "log"
    min_interval: int = 0
    since: Since | str | None = None

    async def act(self, scene: Scene) -> Onlooker | None:
        bearer, person, owners = scene.token(self.who, self.claimed)
        place = self.since.place(scene.told) if isinstance(self.since, Since) else self.since
        client = scene.site.client(
            self.transport, bearer, topics=None if self.topics is None else ",".join(self.topics), since=place,
            mode=self.mode, min_interval=self.min_interval,
        )  # fmt: skip
        client.wait = "0.1"  # statistics alone end no poll
        one = Onlooker(client, scene.rows, person, owners, admin=self.claimed == "admin")
        scene.onlookers.append(one)
        one.topics = None if self.topics is None else frozenset(self.topics)
        refused = BAD.get(self.claimed) or ("topic-forbidden" if one.forbidden(self.topics) else None)
        if refused:
            end = await client.refusal()
            assert end.error == refused, end
            assert not ids(end.detail) & scene.rows.private
            return None
        one.issued_at = scene.issued.get(person, 0)
        await client.open()
        greeting = await client.next()
        assert greeting["type"] == "ready", greeting
        assert greeting["data"]["user_id"] == person
        one.follow()
        return one


@dataclass(frozen=True)
class Say:
    """A WebSocket's client says something: other topics, another place, another token."""

    which: int
    claimed: str | None
    topics: tuple[str, ...] | None = None
    since: Since | None = None

    async def act(self, scene: Scene) -> None:
        able = [one for one in scene.onlookers if one.live and isinstance(one.client, WebSocketSubscriber)]
        able = [one for one in able if one.person in scene.rows.people and not one.admin]
        if not able:
            return
        one = able[self.which % len(able)]
        assert isinstance(one.client, WebSocketSubscriber)
        place = {} if self.since is None else {"since": self.since.place(scene.told)}
        place = {name: value for name, value in place.items() if value is not None}
        answers = one.client.kinds.count("subscribed")
        errors = one.client.kinds.count("error")
        owners = one.owners
        if self.claimed is None:
            topics = {} if self.topics is None else {"topics": self.topics}
            await one.client.say({"type": "subscribe", **topics, **place})
            if one.forbidden(self.topics):
                await until(
                    lambda: one.client.kinds.count("error") > errors, lambda: f"{one} was let see {self.topics}"
                )
                return
        else:
            bearer, person, owners = scene.token(
                scene.rows.people.index(one.person) if self.claimed != "posing" else self.which, self.claimed
            )
            await one.client.say({"type": "auth", "token": bearer, **place})
            if self.claimed in BAD or person != one.person:
                await one.ended(BAD.get(self.claimed, "token-other-user"))
                return
            one.issued_at = scene.issued.get(person, 0)
            one.admin = self.claimed == "admin"
        await until(
            lambda: one.client.kinds.count("subscribed") > answers, lambda: f"{one} had no answer: {one.client.kinds}"
        )
        if self.claimed is None:
            one.topics = one.topics if self.topics is None else frozenset(self.topics)
        else:
            one.renewed(owners, len(one.client.kinds) - 1 - one.client.kinds[::-1].index("subscribed"))


@dataclass(frozen=True)
class Kick:
    """Somebody's connections end, and nothing of his is to be had with the tokens that he has."""

    who: int
    transport: str

    async def act(self, scene: Scene) -> None:
        person = scene.person(self.who)
        bearer, *_ = scene.token(self.who, "team")
        issued_at = scene.issued.get(person, 0)
        # Whoever is here is sent away when the process has read of it, and from then on nobody is let in.
        await Join(self.who, "websocket", "plain").act(scene)
        his = [one for one in scene.onlookers if one.live and one.person == person]
        await scene.site.feed.execute("select changefeed.kick($1)", person)
        at = await scene.site.feed.fetchval(
            "select extract(epoch from at)::float8 from changefeed.kick where user_id = $1", person
        )
        if issued_at > at:
            return  # tokens are from whole seconds, and this one is from after the kick
        for one in his:
            if one.issued_at <= at:
                await one.ended("kicked", "token-revoked")
        await scene.rows.insert(NOTE, person)
        await scene.rows.count()
        client = scene.site.client(self.transport, bearer, since=scene.told[0])
        assert (await client.refusal()).error == "token-revoked"
        scene.issued[person] = int(at) + 1


@dataclass(frozen=True)
class Go:
    """Somebody goes by himself."""

    which: int

    async def act(self, scene: Scene) -> None:
        live = [one for one in scene.onlookers if one.live]
        if live:
            await live[self.which % len(live)].leave()


@dataclass(frozen=True)
class Ask:
    """Somebody asks over REST, for everything and for what is another's."""

    who: int
    claimed: str

    async def act(self, scene: Scene) -> None:
        bearer, person, owners = scene.token(self.who, self.claimed)
        rows, other = scene.rows, scene.person(self.who + 1)
        one = Onlooker(scene.site.client("longpoll", None), rows, person, owners, admin=self.claimed == "admin")
        headers = {"Authorization": f"Bearer {bearer}"}
        address = f"{scene.site.service.url}/api/v1"
        async with httpx.AsyncClient(base_url=address, headers=headers, verify=False, timeout=LONGEST) as client:
            if self.claimed in BAD:
                for path in ("/stats/dashboard", "/executions", "/agent-tasks"):
                    assert (await client.get(path)).json()["code"] == BAD[self.claimed]
                return
            body = (await client.get("/stats/dashboard")).json()
            assert numbers_of(body) == one.numbers[-1], f"{one} was told {body}"
            for path, kind, identity, above in (
                ("/executions", EXECUTION, "execution_id", "workflow_id"),
                ("/agent-tasks", TASK, "task_id", "execution_id"),
            ):
                mine = rows.of(kind, ("user", person))
                theirs = {row.values[above] for row in rows.rows if row.key in rows.of(kind, ("user", other))}
                filters: list[dict[str, str]] = [{}, {above: ",".join(theirs)}]
                filters += [{"after": place} for place in scene.places]
                for number, asked in enumerate(filters):
                    answer = (await client.get(path, params={"limit": "200", **asked})).json()
                    if "code" in answer:
                        assert "after" in asked, answer
                        continue
                    foreign = set(leaves(answer["items"])) - one.knows(owners)
                    assert not foreign, f"{one} got {foreign} in {answer}"
                    found = {item[identity] for item in answer["items"]}
                    assert found == mine if number == 0 else found <= mine
                page = (await client.get(path, params={"limit": "1"})).json()
                scene.places += [page["next"]] if page["next"] else []
            for path in ("system-metrics", "costs", "connectors"):
                answer = await client.get(f"/admin/{path}")
                assert answer.status_code == (200 if one.admin else 403), answer.text
                assert not ids(answer.json()) & rows.private
