"""Tickets, on a real server: good once, in any process, for the one who got it, and for a short while."""

import asyncio
import hashlib
import time

import asyncpg
import pytest

from api.identity import Identity
from api.tickets import LENGTH, issue, redeem
from api.tokens import TokenVerifier
from changefeed.errors import AuthenticationError
from changefeed.event import Owner
from changefeed.settings import Settings
from changefeed.sql import query
from tests.support.database import Database
from tests.support.issuer import SECRET, claims, token

SOMEBODY = Identity(
    user_id="ü 1'",
    owners=frozenset({Owner("user", "ü 1'"), Owner("org", 'a"b\\'), Owner("org", "7")}),
    admin=True,
    expires_at=time.time() + 24 * 3600.123456,
    issued_at=time.time() - 0.123456,
    token_id="t1",
)


async def refusal(connection: asyncpg.Connection, ticket: str) -> str:
    with pytest.raises(AuthenticationError) as refused:
        await redeem(connection, ticket)
    assert not ticket or ticket not in str(refused.value)
    return refused.value.code


async def expire(admin: asyncpg.Connection, ticket: str) -> None:
    digest = hashlib.sha256(ticket.encode()).digest()
    past = "update changefeed.ticket set expires_at = clock_timestamp() where digest = $1"
    assert await admin.execute(past, digest) == "UPDATE 1"


async def test_a_ticket_brings_back_whoever_got_it_in_another_process_once(database: Database) -> None:
    one, other = await asyncpg.connect(database.feed_dsn), await asyncpg.connect(database.feed_dsn)
    ticket = await issue(one, SOMEBODY)
    assert len(ticket) == LENGTH
    assert await redeem(other, ticket) == SOMEBODY
    assert await refusal(one, ticket) == "ticket-invalid"
    assert await refusal(other, ticket) == "ticket-invalid"
    await one.close()
    await other.close()


async def test_a_tokens_identity_goes_through_a_ticket_unchanged_and_through_a_pool(database: Database) -> None:
    verifier = TokenVerifier(Settings(jwt_secret=SECRET, owner_claims={"sub": "user", "org": "org"}))
    identity = await verifier.verify(token(claims(org=["a", "b"], role="admin", jti="t1")))
    async with asyncpg.create_pool(database.feed_dsn, min_size=1, max_size=2) as pool:
        assert await redeem(pool, await issue(pool, identity)) == identity


async def test_of_many_who_redeem_a_ticket_at_once_one_wins(database: Database) -> None:
    rivals = [await asyncpg.connect(database.feed_dsn) for _ in range(8)]
    for _ in range(10):
        ticket = await issue(rivals[0], SOMEBODY)
        outcomes = await asyncio.gather(*(redeem(rival, ticket) for rival in rivals), return_exceptions=True)
        assert [outcome for outcome in outcomes if isinstance(outcome, Identity)] == [SOMEBODY]
        refused = [outcome for outcome in outcomes if isinstance(outcome, AuthenticationError)]
        assert {error.code for error in refused} == {"ticket-invalid"}
        assert len(refused) == len(rivals) - 1
    for rival in rivals:
        await rival.close()


async def test_a_ticket_that_is_held_by_a_rival_is_waited_for_and_then_gone(
    feed: asyncpg.Connection, admin: asyncpg.Connection, database: Database
) -> None:
    ticket = await issue(feed, SOMEBODY)
    holder = await asyncpg.connect(database.feed_dsn)
    holding = holder.transaction()
    await holding.start()
    await redeem(holder, ticket)
    late = asyncio.create_task(refusal(feed, ticket))
    waiting = "select exists (select from pg_locks where not granted and pid = $1)"
    while not await admin.fetchval(waiting, feed.get_server_pid()):
        assert not late.done()
    await holding.commit()
    assert await late == "ticket-invalid"
    await holder.close()


async def test_a_ticket_that_has_expired_is_refused_and_gone(
    feed: asyncpg.Connection, admin: asyncpg.Connection
) -> None:
    ticket = await issue(feed, SOMEBODY)
    lasts = "select extract(epoch from expires_at - clock_timestamp())::float8 from changefeed.ticket"
    assert 0 < await admin.fetchval(lasts) <= 30
    await expire(admin, ticket)
    assert await refusal(feed, ticket) == "ticket-invalid"
    assert await admin.fetchval("select count(*) from changefeed.ticket") == 0


async def test_a_ticket_does_not_outlive_its_token(feed: asyncpg.Connection) -> None:
    over = Identity("u", frozenset(), admin=False, expires_at=time.time() - 1)
    assert await refusal(feed, await issue(feed, over)) == "token-expired"


async def test_a_host_may_let_in_somebody_who_never_expires(feed: asyncpg.Connection) -> None:
    forever = Identity("u", frozenset(), admin=False, expires_at=None)
    assert await redeem(feed, await issue(feed, forever)) == forever


@pytest.mark.parametrize(
    "ticket", ["", "x", "x" * LENGTH, "x" * 100_000, "\0" * LENGTH, "ü" * LENGTH, "\ud800" * LENGTH]
)
async def test_what_is_no_ticket_is_refused(feed: asyncpg.Connection, ticket: str) -> None:
    await issue(feed, SOMEBODY)
    assert await refusal(feed, ticket) == "ticket-invalid"


async def test_a_user_who_was_kicked_meanwhile_is_refused(feed: asyncpg.Connection) -> None:
    ticket = await issue(feed, SOMEBODY)
    undated = Identity("u", frozenset(), admin=False, expires_at=None)
    undated_ticket = await issue(feed, undated)
    for user in (SOMEBODY.user_id, "u"):
        await feed.execute("select changefeed.kick($1)", user)
    assert await refusal(feed, ticket) == "token-revoked"
    assert await refusal(feed, undated_ticket) == "token-revoked"


async def test_the_table_holds_no_ticket_and_is_swept_by_whoever_adds_to_it(
    feed: asyncpg.Connection, admin: asyncpg.Connection
) -> None:
    tickets = [await issue(feed, SOMEBODY) for _ in range(3)]
    for ticket in tickets[:2]:
        await expire(admin, ticket)
    tickets.append(await issue(feed, SOMEBODY))
    kept = {row["digest"] for row in await admin.fetch("select digest from changefeed.ticket")}
    assert kept == {hashlib.sha256(ticket.encode()).digest() for ticket in tickets[2:]}
    table = await admin.fetchval("select string_agg(t::text, ' ') from changefeed.ticket t")
    assert all(ticket not in table for ticket in tickets)


async def test_a_rival_that_sweeps_is_not_waited_for(
    feed: asyncpg.Connection, admin: asyncpg.Connection, database: Database
) -> None:
    await expire(admin, await issue(feed, SOMEBODY))
    rival = await asyncpg.connect(database.feed_dsn)
    sweeping = rival.transaction()
    await sweeping.start()
    await issue(rival, SOMEBODY)
    await feed.execute("set lock_timeout = '1ms'")
    assert await issue(feed, SOMEBODY)
    await sweeping.rollback()
    await rival.close()


async def test_neither_query_reads_the_whole_table(feed: asyncpg.Connection) -> None:
    await feed.execute(
        "insert into changefeed.ticket select sha256(n::text::bytea), '{}', now() + n * interval '1 s' "
        "from generate_series(1, 20000) n"
    )
    await feed.execute("analyze changefeed.ticket")
    for name, arguments in (("issue_ticket", (b"x", "{}", 1.0)), ("redeem_ticket", (b"x",))):
        rows = await feed.fetch(f"explain {query(name)}", *arguments)
        plan = "\n".join(row[0] for row in rows)
        assert "Index" in plan
        assert "Seq Scan on ticket" not in plan


async def test_the_application_reads_and_forges_no_tickets(app: asyncpg.Connection) -> None:
    for attempt in ("select * from changefeed.ticket", "insert into changefeed.ticket values ('x', '{}', now())"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await app.execute(attempt)
