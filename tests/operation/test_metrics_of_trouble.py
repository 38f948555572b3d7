"""What `/metrics` says while clients do not keep up, or the log cannot be read."""

import math

from tests.support.proxy import Proxy
from tests.support.scrape import until
from tests.support.site import Site
from tests.support.stuck import StuckPeer

READY = rb'"type":"ready"'


async def test_messages_wait_for_a_client_that_does_not_read_and_then_it_lags(own: Site) -> None:
    service = await own.start(send_timeout=600, buffer_messages=1000, buffer_bytes=1 << 30)
    tenant = await own.tenant()
    execution = await tenant.begin()
    async with StuckPeer(service.url, "/ws/dashboard", tenant.token(), websocket=True) as stuck:
        await stuck.read_until(READY)
        await tenant.flood(execution, 800, 20_000)
        found = await until(service.url, lambda scrape: (scrape.value("messages_waiting") or 0) > 0)
        assert found.value("messages_waiting_max") == found.value("messages_waiting")
        assert found.by("sessions", "state") == {"live": 1, "lagging": 0, "replaying": 0}
        await tenant.flood(execution, 1200, 20_000)
        lagging = await until(service.url, lambda scrape: scrape.value("sessions", state="lagging") == 1)
        assert lagging.value("messages_waiting") == 0


async def test_messages_that_newer_ones_have_replaced_are_counted(own: Site) -> None:
    service = await own.start()
    tenant = await own.tenant()
    execution = await tenant.begin()
    client = await own.joined("websocket", tenant, mode="state", topics="executions")
    async with own.app.transaction():
        for number in range(1, 6):
            await tenant.move(execution, number)
    said = await client.until("conflated")
    await client.until("execution-updated", progress=5)
    found = await until(service.url, lambda scrape: bool(scrape.value("messages_conflated_total")))
    assert found.value("messages_conflated_total") == said["data"]["count"] == 4


async def test_the_age_of_the_last_look_grows_while_the_log_cannot_be_read(own: Site) -> None:
    async with Proxy.to(own.services.dsn) as network:
        service = await own.start(variables={"CHANGEFEED_DSN": network.dsn})
        found = await until(service.url, lambda scrape: math.isfinite(scrape.value("relay_last_look_age_seconds") or 0))
        before = found.value("relay_last_look_age_seconds") or 0.0
        network.freeze()
        await until(service.url, lambda scrape: (scrape.value("relay_last_look_age_seconds") or 0) > before + 2)
        network.thaw()
        await until(service.url, lambda scrape: (scrape.value("relay_last_look_age_seconds") or 0) < 2)
