"""Faults of the service's processes."""

import asyncio
import signal

from tests.adversity.amounts import FEW, SOME
from tests.adversity.stage import Scene
from tests.adversity.viewing import MONTH

HOUR = 3600.0


async def leader_killed(scene: Scene) -> None:
    """SIGKILL, at some point, to the process whose relay leads; another takes over, and a new process comes in its place."""
    number = await scene.leader()
    await scene.until_arrived(scene.chance.randrange(FEW, SOME))
    scene.processes[number].kill()
    assert await scene.leader() != number
    await scene.until_arrived(FEW)
    await scene.begin(number)


async def leader_frozen(scene: Scene) -> None:
    """SIGSTOP to it: the connection stays, and with it the lock, until a follower ends that session."""
    number = await scene.leader()
    scene.processes[number].send_signal(signal.SIGSTOP)
    try:
        await scene.processes[1 - number].readiness(200, leading=True)
        await scene.until_arrived(FEW)
    finally:
        scene.processes[number].send_signal(signal.SIGCONT)


async def both_killed(scene: Scene) -> None:
    """Nobody is there for a while."""
    for process in scene.processes.values():
        process.kill()
    await asyncio.gather(*(scene.begin(number) for number in scene.processes))
    await scene.until_arrived(FEW)


async def restarted_politely(scene: Scene) -> None:
    """SIGTERM: clients are sent away, and come back to the other one."""
    number = scene.chance.randrange(2)
    scene.processes[number].send_signal(signal.SIGTERM)
    await scene.processes[number].ended()
    await scene.until_arrived(FEW)
    await scene.begin(number)


async def clock_of_the_service_stepped(scene: Scene) -> None:
    """The processes' time of day goes forward and back, by minutes and by days; the database's does not."""
    clock = scene.clock
    assert clock is not None
    # Tokens that are good at any of these times: that others are refused then is right, and tested elsewhere.
    scene.credentials.seconds, scene.credentials.age = MONTH, MONTH
    for number, process in scene.processes.items():
        process.kill()
        await scene.begin(number, clock.variables)
    for seconds in (HOUR / 60, -HOUR / 60, 2 * HOUR, -2 * HOUR, 48 * HOUR, -48 * HOUR, 0):
        clock.step(seconds)
        await scene.until_arrived(FEW)
    # A connection from now on is one under the stepped clock from its beginning.
    clock.step(-HOUR)
    for front in scene.before_service:
        front.cut()
    await scene.until_arrived(SOME)
    clock.step(0)
    for number, process in scene.processes.items():
        process.kill()
        await scene.begin(number)
    scene.credentials.seconds, scene.credentials.age = HOUR, 0.0
