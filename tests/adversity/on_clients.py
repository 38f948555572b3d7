"""Faults of clients, and of what they are allowed."""

from contextlib import AsyncExitStack

from tests.adversity.amounts import FEW, SOME
from tests.adversity.on_database import as_admin
from tests.adversity.stage import Scene
from tests.support.issuer import claims, token
from tests.support.stuck import StuckPeer


async def client_stops_reading(scene: Scene) -> None:
    """Each user has one more client, whose window is zero; and one that is judged stops reading for a while."""
    resting = scene.clients[:: len({client.transport for client in scene.clients})]
    async with AsyncExitStack() as stack:
        for number, viewer in enumerate(scene.viewers):
            good = token(claims(sub=viewer.owner))
            await stack.enter_async_context(StuckPeer(scene.url(number % 2), "/ws/dashboard", good, websocket=True))
        for client in resting:
            client.reading.clear()
        await scene.until_committed(SOME * 5)
        await scene.until_arrived(SOME)
    for client in resting:
        client.reading.set()


async def tokens_expire(scene: Scene) -> None:
    """Tokens that are good for two seconds, for a while; each connection needs a new one."""
    scene.credentials.seconds = 2.0
    before = sum(client.connections for client in scene.clients)
    for front in scene.before_service:
        front.cut()
    # Each was sent away once, and once more when its token had expired.
    await scene.until(lambda: sum(client.connections for client in scene.clients) >= before + 2 * len(scene.clients))
    scene.credentials.seconds = 3600.0


async def users_kicked(scene: Scene) -> None:
    """Everybody is sent away; tokens from before are refused."""
    for viewer in scene.viewers:
        await as_admin(scene, "select changefeed.kick($1)", viewer.owner)
    await scene.until_arrived(FEW)
