"""Faults of the network: between the service and its database, and between the clients and the service."""

from tests.adversity.amounts import FEW, SOME
from tests.adversity.stage import Scene


async def database_network_cut(scene: Scene) -> None:
    """Resets between the service and the database."""
    for _ in range(3):
        for network in scene.before_database:
            network.cut()
        await scene.until_arrived(FEW)


async def database_network_frozen(scene: Scene) -> None:
    """Nothing gets through to one process, and later it does."""
    number = await scene.leader()
    scene.before_database[number].freeze()
    try:
        await scene.processes[1 - number].readiness(200, leading=True)
        await scene.until_arrived(FEW)
    finally:
        scene.before_database[number].thaw()


async def database_network_half_open(scene: Scene) -> None:
    """A pulled cable: what is connected hears nothing more, ever."""
    number = await scene.leader()
    scene.before_database[number].half_open()
    await scene.processes[1 - number].readiness(200, leading=True)
    await scene.until_arrived(FEW)


async def database_network_slow(scene: Scene) -> None:
    """Every byte is late."""
    for network in scene.before_database:
        network.delay = 0.03
    await scene.until_arrived(SOME)
    for network in scene.before_database:
        network.delay = 0.0


async def client_network_cut(scene: Scene) -> None:
    """Every client loses its connection, again and again."""
    for _ in range(4):
        for front in scene.before_service:
            front.cut()
        await scene.until_arrived(FEW)


async def client_network_frozen(scene: Scene) -> None:
    """Nothing gets through to any client, and later it does."""
    for front in scene.before_service:
        front.freeze()
    await scene.until_committed(SOME)
    for front in scene.before_service:
        front.thaw()
    await scene.until_arrived(FEW)


async def client_network_half_open(scene: Scene) -> None:
    """Every client's connection is dead without a word, and it has to find that out."""
    before = sum(client.connections for client in scene.clients)
    for front in scene.before_service:
        front.half_open()
    await scene.until(lambda: sum(client.connections for client in scene.clients) >= before + len(scene.clients))
    await scene.until_arrived(FEW)


async def client_network_slow(scene: Scene) -> None:
    """So little gets through that the buffers overflow."""
    for front in scene.before_service:
        front.bytes_per_second = 4000.0
    await scene.until_committed(SOME)
    await scene.until_arrived(SOME)
    for front in scene.before_service:
        front.bytes_per_second = 0.0
