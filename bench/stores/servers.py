"""The stores that have a server, and how a worker is told of them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from bench.stores.writes import DIMENSION
from deploy.local.elasticsearch import ElasticsearchServer
from deploy.local.influxdb import InfluxServer
from deploy.local.neo4j import Neo4jServer
from deploy.local.pinecone import PineconeProcess
from deploy.local.postgres import PostgresServer
from deploy.local.redis import RedisServer
from deploy.local.s3 import S3Server
from deploy.local.server import Server
from schemas.writes import StoreName
from streams.cli.local import variables

DATABASE = "travelos"


class Kind(NamedTuple):
    """A kind of server: which store it holds, how it is made, and which options say where it is.

    `patience` are the options that bound how long an answer is waited for. `keeps`: whether it holds what it held when
    it is killed and started again.
    """

    store: StoreName
    make: Callable[[Path], Server]
    address: str
    patience: tuple[str, ...]
    http: bool = False
    keeps: bool = True


_OF_S3 = ("connect_seconds", "request_seconds")
KINDS: Mapping[str, Kind] = {
    "neo4j": Kind("graph", Neo4jServer, "url", ("connect_seconds", "transaction_seconds")),
    "elasticsearch": Kind("search", ElasticsearchServer, "url", ("request_seconds",), http=True),
    "influxdb": Kind("timeseries", InfluxServer, "url", ("connect_seconds", "request_seconds"), http=True),
    "s3": Kind("objects", S3Server, "endpoint", _OF_S3, http=True),
    "warehouse": Kind("warehouse", S3Server, "endpoint", _OF_S3, http=True),
    "pinecone": Kind("vector", PineconeProcess, "url", ("request_seconds",), http=True, keeps=False),
    "redis": Kind("cache", RedisServer, "url", ("connect_seconds", "request_seconds")),
    "postgres": Kind("relational", PostgresServer, "url", ("request_seconds",)),
}

# One store of each real server, which is what CI has the time for: each store more is a worker more to be started.
ONE_OF_EACH = tuple(name for name in KINDS if name not in ("warehouse", "pinecone"))


def prepare(server: Server) -> None:
    """Make what a sink does not make by itself."""
    if isinstance(server, PostgresServer):
        server.create_database(DATABASE)


def environment(name: str, server: Server, *, port: int | None = None, patience: int | None = None) -> dict[str, str]:
    """Return the variables by which a worker writes to a server.

    Args:
        name: of the kind.
        server: running.
        port: of a proxy in front of it; else its own.
        patience: the longest wait for an answer in seconds; else the default.
    """
    kind = KINDS[name]
    prefix = f"TRAVELOS_STORES_{kind.store.upper()}_"
    found = {prefix + option.upper(): value for option, value in _options(name, server).items()}
    if port is not None:
        place = prefix + kind.address.upper()
        parts = urlsplit(found[place])
        login, at, _ = parts.netloc.rpartition("@")
        found[place] = parts._replace(netloc=f"{login}{at}127.0.0.1:{port}").geturl()
    if patience is not None:
        found |= {prefix + option.upper(): str(patience) for option in kind.patience}
    return found


def _options(name: str, server: Server) -> dict[str, str]:
    """Return the options of a store, by their names."""
    if isinstance(server, PineconeProcess):
        sizes = {"dimension": str(DIMENSION), "photo_dimension": str(DIMENSION)}
        return {"kind": "pinecone", "url": server.address, "api_key": server.api_key, **sizes}
    of_kind = "s3" if name == "warehouse" else name
    store = "objects" if name == "warehouse" else KINDS[name].store
    prefix = f"TRAVELOS_STORES_{store.upper()}_"
    found = {
        variable.removeprefix(prefix).lower(): value
        for variable, value in variables(of_kind, server).items()
        if variable.startswith(prefix)
    }
    return {**found, "index_folder": str(server.folder / "index")} if name == "warehouse" else found
