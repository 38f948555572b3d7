"""What OpenAPI says about REST: enough to generate a client from, and true."""

import json
import re
from typing import Any

import pytest
from fastapi import FastAPI

from api.router import create_router
from api.service import Service
from changefeed import Settings
from tests.support.issuer import SECRET

MODELS = {
    "/api/v1/stats/dashboard": "DashboardStatistics",
    "/api/v1/executions": "ExecutionPage",
    "/api/v1/agent-tasks": "TaskPage",
    "/api/v1/admin/system-metrics": "SystemMetrics",
    "/api/v1/admin/costs": "CostAnalytics",
    "/api/v1/admin/connectors": "ConnectorStatistics",
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    app = FastAPI()
    service = Service(Settings(dsn="postgresql://127.0.0.1/nothing", jwt_secret=SECRET))
    app.include_router(create_router(service=service, routes=["rest", "admin"]))
    return app.openapi()


def test_every_route_has_a_name_a_model_its_headers_and_its_errors(document: dict[str, Any]) -> None:
    assert document["paths"].keys() == MODELS.keys()
    names = set()
    for path, model in MODELS.items():
        operation = document["paths"][path]["get"]
        names.add(operation["operationId"])
        assert operation["description"]
        assert set(operation["responses"]) == {"200", "304", "default"}
        good = operation["responses"]["200"]
        assert good["content"]["application/json"]["schema"] == {"$ref": f"#/components/schemas/{model}"}
        assert {"X-Changefeed-Cursor", "ETag"} == good["headers"].keys()
        assert set(operation["responses"]["default"]["content"]) == {"application/problem+json"}
        assert operation["security"] == [{"token": []}]
    assert len(names) == len(MODELS)
    assert all(re.fullmatch("[a-z_]+", name) for name in names)


def test_every_reference_leads_somewhere_and_no_schema_is_empty(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for reference in re.findall(r'"\$ref": "([^"]+)"', json.dumps(document)):
        assert reference.removeprefix("#/components/schemas/") in schemas
    for name, schema in schemas.items():
        assert schema.get("properties"), name
        assert schema["additionalProperties"] is False, f"{name}: what is not described is not sent"
    assert schemas["ExecutionPage"]["properties"]["items"]["items"] == {"$ref": "#/components/schemas/ExecutionData"}
    assert document["components"]["securitySchemes"]["token"] == {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
    }


def test_parameters_are_described_with_their_bounds(document: dict[str, Any]) -> None:
    parameters = {p["name"]: p for p in document["paths"]["/api/v1/executions"]["get"]["parameters"]}
    assert parameters.keys() == {"status", "workflow_id", "source", "limit", "after"}
    assert not any(parameter["required"] for parameter in parameters.values())
    limit = parameters["limit"]["schema"]
    assert (limit["minimum"], limit["maximum"], limit["default"]) == (1, 200, 50)
