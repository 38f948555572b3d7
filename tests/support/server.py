"""The PostgreSQL servers that the tests run on: an embedded one, and one in a container.

Guarantees: both are the tests' own, listen on 127.0.0.1 only, hold the three roles of `demo.host`, trade
durability for speed, and are gone when their context ends.
"""

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from demo.postgres import Postgres

SETTINGS = {"max_connections": "200"}


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: its name, its superuser's connection string and, if it is embedded, its handle."""

    name: str
    admin_dsn: str
    postgres: Postgres | None = None


@contextmanager
def embedded_server(launcher: Sequence[str] = ()) -> Iterator[Server]:
    """The newest PostgreSQL, from the embedded binaries; `launcher` as for Postgres."""
    with Postgres(settings=SETTINGS, durable=False, launcher=launcher) as postgres:
        yield Server("embedded", postgres.dsn("postgres"), postgres)


@contextmanager
def container_server(image: str) -> Iterator[Server]:
    """Whatever PostgreSQL the image holds, through testcontainers."""
    # Read when testcontainers is imported. Its own cleaner is one more image, which a machine without a
    # registry lacks; the mode makes it connect to the mapped port instead of guessing a bridge address.
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    os.environ.setdefault("TESTCONTAINERS_CONNECTION_MODE", "docker_host")
    from testcontainers.community.postgres import PostgresContainer

    password = secrets.token_urlsafe(24)
    container = PostgresContainer(image, username="postgres", password=password, dbname="postgres", driver=None)
    container.ports[5432] = ("127.0.0.1",)
    options = {**SETTINGS, "fsync": "off", "full_page_writes": "off"}
    container.with_command(["postgres", *(f"--{name}={value}" for name, value in options.items())])
    with container:
        port = container.get_exposed_port(5432)
        yield Server("container", f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres")
