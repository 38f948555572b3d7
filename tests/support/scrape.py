"""What Prometheus would read: a scrape, parsed by the client library's own parser."""

import asyncio
from collections.abc import Callable

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.support.service import LONGEST, PAUSE


class Scrape:
    """One answer of `/metrics`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = list(text_string_to_metric_families(text))
        self._samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        """One sample; None where there is none."""
        return self._samples.get((f"changefeed_{name}", frozenset(labels.items())))

    def by(self, name: str, label: str) -> dict[str, float]:
        """All samples of a metric with one label, by the label's value."""
        found: dict[str, float] = {}
        for (metric, labels), value in self._samples.items():
            if metric == f"changefeed_{name}":
                found[dict(labels)[label]] = found.get(dict(labels)[label], 0.0) + value
        return found

    def counted(self, name: str, label: str) -> dict[str, float]:
        """The same without those that have never counted anything."""
        return {value: number for value, number in self.by(name, label).items() if number}


async def scraped(url: str, token: str | None = None) -> Scrape:
    """What this process says now."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    # Without a context for TLS, which costs more than all the rest.
    async with httpx.AsyncClient(base_url=url, headers=headers, verify=False) as client:
        answer = await client.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    return Scrape(answer.text)


async def until(url: str, reached: Callable[[Scrape], bool]) -> Scrape:
    """Scrapes until it says what is waited for: nobody tells when that is."""
    last: Scrape | None = None
    try:
        async with asyncio.timeout(LONGEST):
            while True:
                last = await scraped(url)
                if reached(last):
                    return last
                await asyncio.sleep(PAUSE)
    except TimeoutError:
        raise AssertionError(last.text if last else "nothing was ever scraped") from None
