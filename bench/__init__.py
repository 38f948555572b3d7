"""The figures of `docs/performance.md`: every number next to what it is compared with, both taken in one run.

`python -m bench` (`make bench`) runs everything, `python -m bench writing latency` some of it. Each measurement is a
module with `async def measure(options) -> Result`. Machines are noisy: rounds take turns, and medians and ratios are told.
"""
