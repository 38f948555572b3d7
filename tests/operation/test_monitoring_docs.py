"""What is written about metrics is what there is: the documentation's tables, and the alerts."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from prometheus_client import CollectorRegistry, ProcessCollector

from api.metrics import Figures
from api.readings import Readings
from api.service import Service
from changefeed.commands.explain.verdict import Fate
from changefeed.settings import Settings
from tests.support.database import ROOT
from tests.support.issuer import SECRET

RULES = yaml.safe_load((ROOT / "deploy" / "prometheus-rules.yml").read_text(encoding="utf-8"))
DOCUMENT = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(changefeed_\w+)` \| (\w+) \|([^|]*)\| ([^|]+) \|$", re.MULTILINE)
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def metrics() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Every metric that a process has, before anything has happened: name → type and labels."""
    service = Service(Settings(dsn="postgresql://nobody@127.0.0.1:1/none", jwt_secret=SECRET))
    found = {}
    for family in Figures(service, Readings(service.feed)).collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = (family.type, tuple(getattr(family, "_labelnames", ())))
    return found


def test_every_metric_is_documented_with_its_type_and_labels(metrics: dict[str, tuple[str, tuple[str, ...]]]) -> None:
    documented = {
        name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels, _ in ROW.findall(DOCUMENT)
    }
    assert documented == metrics


def test_the_process_collectors_metrics_are_documented_too() -> None:
    registry = CollectorRegistry()
    ProcessCollector(namespace="changefeed", registry=registry)
    for family in registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert f"`{name}`" in DOCUMENT


def test_names_say_what_prometheus_expects_of_names(metrics: dict[str, tuple[str, tuple[str, ...]]]) -> None:
    for name, (kind, _) in metrics.items():
        assert re.fullmatch(r"changefeed_[a-z_]+", name)
        assert name.endswith("_total") == (kind == "counter")
        assert not re.search(r"_(ms|milliseconds|minutes|kb|mb|percent)\b", name)


def test_every_alert_says_how_bad_it_is_what_it_means_and_what_to_do() -> None:
    names = [rule["alert"] for rule in ALERTS]
    assert len(set(names)) == len(names)
    for rule in ALERTS:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}, rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning"), rule["alert"]
        assert set(rule["annotations"]) == {"summary", "description"}, rule["alert"]
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m")), rule["alert"]


@pytest.mark.needs("node")
def test_every_alert_is_an_expression_that_prometheus_understands(client_packages: Path) -> None:
    expressions = [rule["expr"] for rule in ALERTS]
    command = ["node", str(ROOT / "tests" / "support" / "promql.mjs"), str(client_packages)]
    broken = [
        "rate(changefeed_resyncs_total[5m) > 1",
        "rate(changefeed_resyncs_total) > 1",
        "sum(changefeed_sessions[5m])",
    ]
    asked = json.dumps([*expressions, *broken])
    answer = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)
    wrong = dict(zip([*expressions, *broken], json.loads(answer.stdout), strict=True))
    assert [expression for expression, places in wrong.items() if places] == broken


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: str(rule["alert"]))
def test_an_alert_names_only_metrics_and_labels_that_there_are(
    rule: dict[str, Any], metrics: dict[str, tuple[str, tuple[str, ...]]]
) -> None:
    expression = rule["expr"]
    used = set(re.findall(r"changefeed_\w+", expression))
    assert used
    labels: set[str] = {"instance", "le"}
    for name in used:
        base = re.sub(r"_(bucket|count|sum)$", "", name)
        assert name in metrics or metrics.get(base, ("",))[0] == "histogram", name
        labels |= set(metrics[base if base in metrics else name][1])
    named = set(re.findall(r"(?:by \(|\{)\s*(\w+)", expression))
    told = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
    assert named | told <= labels


def test_every_finding_of_doctors_is_documented_and_nothing_else() -> None:
    sources = [*(ROOT / "changefeed" / "commands" / "doctor").glob("*.py"), ROOT / "api" / "checkup.py"]
    made = re.compile(r"""\b(?:ok|say|warning|problem|Finding|Conclusion)\(\s*"([a-z-]+)\"""")
    names = {name for source in sources for name in made.findall(source.read_text(encoding="utf-8"))}
    document = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `([a-z-]+)` \|", document, re.MULTILINE))
    assert len(names) > 15
    assert rows == names
    assert "| `table NAME` |" in document
    assert "| `owner of NAME` |" in document


def test_every_fate_of_a_session_that_explain_tells_is_documented() -> None:
    document = (ROOT / "docs" / "design" / "explain.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z-]+)` \|", document, re.MULTILINE)) == set(get_args(Fate))
