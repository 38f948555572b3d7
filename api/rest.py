"""REST, for the first load and for polling: the statistics and the lists, each with the cursor of its very data.

Guarantees: an answer and its `X-Changefeed-Cursor` come from one snapshot, so a subscription with `since:` that cursor
misses nothing and repeats nothing; the numbers are made by what makes the pushed ones; lists hold the asker's rows alone.
Works while the relay does not, then without a cursor where it never did: polling is what clients fall back on.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from changefeed import aggregate, pages
from changefeed.figures import ConnectorStatistics, CostAnalytics, DashboardStatistics, SystemMetrics
from changefeed.reading import Reading
from changefeed.tally import dashboard

from . import lists
from .answer import RESPONSES, Answer, NotThereError, answered
from .description import BEARER
from .identity import Identity
from .lists import ExecutionPage, TaskPage
from .service import Service

Texts = Annotated[list[str], Query(max_length=50)]
Source = Annotated[str | None, Query(max_length=200, description="Which table, where several hold such rows.")]
Limit = Annotated[int, Query(ge=1, le=lists.MOST, description="Rows in an answer, at most.")]
Place = Annotated[str, Field(max_length=lists.LONGEST_PLACE, json_schema_extra={"format": "place"})]
After = Annotated[Place | None, Query(description="Where to go on: a former answer's `next`.")]


def add_rest(router: APIRouter, service: Service) -> None:
    """What everybody may ask for, about his own rows."""

    @router.get("/api/v1/stats/dashboard", response_model=DashboardStatistics, **_described("dashboard_statistics"))
    async def stats(request: Request) -> Response:
        """What the asker's executions and agent tasks come to: the body of `dashboard-stats-update`."""

        async def read(reading: Reading, identity: Identity) -> BaseModel:
            return dashboard((await aggregate.dashboards(reading, identity.owners)).values())

        return await answered(request, service, _reading(service, read))

    @router.get("/api/v1/executions", response_model=ExecutionPage, **_described("list_executions"))
    async def executions(
        request: Request,
        status: Texts = [],  # noqa: B006 FastAPI copies it
        workflow_id: Texts = [],  # noqa: B006
        source: Source = None,
        limit: Limit = lists.USUAL,
        after: After = None,
    ) -> Response:
        """The asker's executions, newest first, each in the shape of an event's `data`."""
        filters = {"status": status, "workflow_id": workflow_id}
        return await answered(request, service, _listing(service, "execution", filters, source, limit, after))

    @router.get("/api/v1/agent-tasks", response_model=TaskPage, **_described("list_agent_tasks"))
    async def agent_tasks(
        request: Request,
        status: Texts = [],  # noqa: B006
        execution_id: Texts = [],  # noqa: B006
        agent: Texts = [],  # noqa: B006
        task_type: Texts = [],  # noqa: B006
        source: Source = None,
        limit: Limit = lists.USUAL,
        after: After = None,
    ) -> Response:
        """The asker's agent tasks, newest first, each in the shape of an event's `data`."""
        filters = {"status": status, "execution_id": execution_id, "agent": agent, "task_type": task_type}
        return await answered(request, service, _listing(service, "agent-task", filters, source, limit, after))


def add_admin(router: APIRouter, service: Service) -> None:
    """What administrators may ask for, about everybody's rows together."""

    @router.get("/api/v1/admin/system-metrics", response_model=SystemMetrics, **_described("system_metrics"))
    async def system_metrics(request: Request) -> Response:
        """How the host, the database and changefeed are doing; read once for everybody who looks."""

        async def read(_identity: Identity) -> Answer:
            vital = await service.feed.vitals.now()
            return vital.body, vital.cursor

        return await answered(request, service, read, admin=True)

    @router.get("/api/v1/admin/costs", response_model=CostAnalytics, **_described("cost_analytics"))
    async def costs(request: Request) -> Response:
        """What agent tasks and executions have cost in the last days."""

        async def read(reading: Reading, _identity: Identity) -> BaseModel:
            return (await aggregate.costs(reading, service.settings.cost_days)).figures()

        return await answered(request, service, _reading(service, read), admin=True)

    @router.get("/api/v1/admin/connectors", response_model=ConnectorStatistics, **_described("connector_statistics"))
    async def connectors(request: Request) -> Response:
        """How the connectors' calls of the last 24 hours went."""

        async def read(reading: Reading, _identity: Identity) -> BaseModel:
            if (names := service.settings.connectors) is None:
                raise NotThereError("CHANGEFEED_CONNECTORS is null: this installation has no connectors.")
            return (await aggregate.connectors(reading, names)).body

        return await answered(request, service, _reading(service, read), admin=True)


def _reading(
    service: Service, read: Callable[[Reading, Identity], Awaitable[BaseModel]]
) -> Callable[[Identity], Awaitable[Answer]]:
    async def answer(identity: Identity) -> Answer:
        async with service.feed.reading() as reading:
            return await read(reading, identity), reading.cursor

    return answer


def _listing(
    service: Service, kind: str, filters: dict[str, list[str]], source: str | None, limit: int, after: str | None
) -> Callable[[Identity], Awaitable[Answer]]:
    wanted = {field: values for field, texts in filters.items() if (values := lists.values_of(texts))}

    async def read(reading: Reading, identity: Identity) -> BaseModel:
        tables = [table for table in (await reading.tables()).values() if table.typed.kind == kind]
        chosen = [table for table in tables if source is None or table.source == source]
        if not chosen:
            raise NotThereError(
                f"No such table is watched. Known: {', '.join(table.source for table in tables) or 'none'}."
                " CHANGEFEED_SOURCES says which tables hold what, changefeed.watch() watches one."
            )
        place = None if after is None else lists.place_of(after)
        page = await pages.page(
            reading, chosen[0], service.feed.mapping, identity.owners, filters=wanted, limit=limit, after=place
        )
        return lists.page_of(kind, page)

    return _reading(service, read)


def _described(operation: str) -> dict[str, Any]:
    return {
        "operation_id": operation,
        "tags": ["statistics"],
        "responses": RESPONSES,
        "dependencies": [BEARER],
    }
