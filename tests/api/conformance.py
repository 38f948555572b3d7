"""What schemathesis does not know by itself: the texts that only we can make up, and who may be answered what.

Loaded by the runs of `test_schema.py`, which say in the environment whose token they send: "admin", "user" or "nobody".
The document says of some texts no more than a format; here are values of it. Everything else about them is still tried:
what is no such text is sent as well, and must be refused.
"""

import os
from datetime import UTC, datetime
from typing import Any

import schemathesis
from hypothesis import strategies as st

from api.lists import text_of

ROLE = os.environ.get("CONFORMANCE_ROLE", "user")
TOPICS = [
    "executions",
    "agent-tasks",
    "dashboard-stats",
    "rows:public.workflow_execution",
    "system-metrics",
    "cost-analytics",
    "connector-stats",
]

moments = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)).map(str)  # noqa: DTZ001
schemathesis.openapi.format("topics", st.lists(st.sampled_from(TOPICS), min_size=1, max_size=4).map(",".join))
schemathesis.openapi.format(
    "place", st.tuples(st.none() | moments, st.uuids().map(str)).map(lambda place: text_of(list(place)))
)


@schemathesis.check
def nobody_is_answered_who_may_not_see_it(
    _context: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> None:
    """For all runs, whatever the request is otherwise."""
    if not case.path.startswith("/api/") or response.status_code >= 400:
        return
    assert ROLE != "nobody", "answered without a good token"
    assert ROLE == "admin" or "/admin/" not in case.path, "answered although it is for administrators"
