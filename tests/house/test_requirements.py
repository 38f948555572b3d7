"""What the machine lacks is skipped by name and remedy, and fails where it is demanded."""

from collections.abc import Iterator

import pytest

from tests.support import requirements
from tests.support.requirements import demanded, require


@pytest.fixture(autouse=True)
def _fresh_answers() -> Iterator[None]:
    requirements._container_problem.cache_clear()
    yield
    requirements._container_problem.cache_clear()


def test_a_lack_is_skipped_by_name_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(requirements.VARIABLE, raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(pytest.skip.Exception, match=r"redis: no redis-server .*install one"):
        require("redis")


def test_a_lack_that_is_demanded_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(requirements.VARIABLE, "node, redis")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(pytest.fail.Exception, match="redis"):
        require("redis")
    with pytest.raises(pytest.skip.Exception, match="browser"):
        require("browser")


def test_an_engine_that_does_not_answer_is_a_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(requirements.VARIABLE, raising=False)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(pytest.skip.Exception, match="start dockerd"):
        require("container")


def test_an_unknown_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(requirements.VARIABLE, "container,blender")
    with pytest.raises(pytest.UsageError, match="blender"):
        demanded()


def test_nothing_is_demanded_unless_somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(requirements.VARIABLE, "")
    assert demanded() == frozenset()
