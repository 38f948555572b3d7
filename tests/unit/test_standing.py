"""A standing task goes on, whatever its work did not foresee; only cancelling ends it."""

import asyncio

import pytest

from changefeed.standing import standing


async def test_work_that_fails_or_ends_begins_anew_and_the_failure_is_told(caplog: pytest.LogCaptureFixture) -> None:
    begun = 0
    steady = asyncio.Event()

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun == 1:
            raise LookupError("nobody had thought of this")
        if begun == 3:
            steady.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(standing("the work", work))
    await asyncio.wait_for(steady.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert begun == 3
    assert "the work failed, and begins again" in caplog.text
    assert "nobody had thought of this" in caplog.text
