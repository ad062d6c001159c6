"""`travelos local`: real servers on this machine, without containers.

Exit codes: 0 when all named servers are in the state asked for; 1 when one failed, or (`status`) is not well; 2 for an
unknown name; 130 after Ctrl-C, when those that were not ready yet are stopped again.
"""

import difflib
import logging
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.markup import escape

from deploy.local.elasticsearch import ElasticsearchServer
from deploy.local.influxdb import InfluxServer
from deploy.local.neo4j import Neo4jServer
from deploy.local.postgres import PostgresServer
from deploy.local.process import ServerFailed
from deploy.local.redis import RedisServer
from deploy.local.s3 import S3Server
from deploy.local.server import Server
from deploy.local.servers import KINDS, LocalServers, default_folder
from schemas.writes import StoreName
from streams.cli.common import AsJson, Exit, err, fail, out, print_json
from streams.demo.database import fill_new_tables
from streams.log import configure_logging
from streams.platform import RELATIONAL_DATABASE, SOURCE_DATABASE
from streams.settings.env_file import write_env_file

T = TypeVar("T")

app = typer.Typer(
    name="local",
    no_args_is_help=True,
    help="Real servers on this machine, without containers: " + ", ".join(KINDS) + ".",
)

Folder = Annotated[
    Path | None,
    typer.Option(
        help="Where data, logs and credentials lie; default $TRAVELOS_CACHE/local, else ~/.cache/travelos/local.",
        show_default=False,
    ),
]
Names = Annotated[list[str], typer.Argument(metavar="NAME", help="Some of: " + ", ".join(KINDS) + ".")]
AnyNames = Annotated[list[str] | None, typer.Argument(metavar="[NAME]", help="Default: all that were started.")]
PortOffset = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=40_000,
        show_default=False,
        help="Added to the default ports, so that servers of several folders can run at once; default: as last time.",
    ),
]
# Waiting for a server, these would report each attempt that failed.
CLIENTS = ("elastic_transport", "neo4j", "psycopg", "botocore", "urllib3", "influxdb_client")
DEFAULT_PORTS = ", ".join(f"{name} {kind.default_port}" for name, kind in KINDS.items())


@app.command(epilog=f"Default ports: {DEFAULT_PORTS}.")
def up(names: Names, folder: Folder = None, port_offset: PortOffset = None) -> None:
    """Install and start servers side by side, and wait until each answers its own client.

    A server that runs already is left alone. The first time downloads and builds: InfluxDB takes some 6 minutes and
    the S3 server 2, the others seconds. The servers outlive this command; `travelos local down` stops them.

    Exit codes: 0 all answer, 1 one failed (the others stay up), 2 an unknown name, 130 Ctrl-C, when those that were not
    ready yet are stopped again.
    """
    names = list(dict.fromkeys(names))
    servers = _servers(folder, names)
    started = time.monotonic()

    def came_up(name: str, fresh: bool) -> None:
        how = f"ready after {time.monotonic() - started:.1f} s" if fresh else "already running"
        out.print(f"{name:<14} {how:<20} {servers.server(name).address}", highlight=False, soft_wrap=True)

    def bring_up(name: str) -> bool:
        fresh = servers.up(name, port_offset=port_offset)
        server = servers.server(name)
        if isinstance(server, PostgresServer):
            server.create_database(SOURCE_DATABASE)
            server.create_database(RELATIONAL_DATABASE)
            fill_new_tables(server.dsn(SOURCE_DATABASE))
        write_env_file(servers.folder / f"{name}.env", variables(name, server))
        return fresh

    failed = _side_by_side(names, bring_up, came_up, interrupted=servers.abandon)
    _print_variables(servers, [name for name in names if name not in failed])
    _leave(failed)


@app.command()
def down(
    names: AnyNames = None,
    folder: Folder = None,
    delete_data: Annotated[
        bool, typer.Option("--delete-data", help="Delete their data, logs and credentials as well.")
    ] = False,
) -> None:
    """Stop servers in order and wait until they are gone. Their data stay, unless --delete-data is given.

    Exit codes: 0 all are gone, 1 one does not end, 2 an unknown name.
    """
    servers = _servers(folder, names or [])

    def went_down(name: str, was_running: bool) -> None:
        (servers.folder / f"{name}.env").unlink(missing_ok=True)
        out.print(f"{name:<14} {'stopped' if was_running else 'was not running'}", highlight=False)

    stop = partial(servers.down, delete_data=delete_data)
    _leave(_side_by_side(names or list(servers.started()), stop, went_down))


@app.command()
def status(folder: Folder = None, as_json: AsJson = False) -> None:
    """Show the servers that were ever started here, asking each whether it answers.

    "died" means that it ended without being asked to; its log says why.

    Exit codes: 0 those that are not stopped answer, 1 one died or does not answer.
    """
    servers = _servers(folder, [])
    try:
        rows = [servers.status(name) for name in servers.started()]
    except ServerFailed as error:
        fail(str(error))
    if as_json:
        print_json([row._asdict() for row in rows])
    else:
        for row in rows:
            process = f"pid {row.pid}, {row.memory_mb} MB" if row.pid is not None else ""
            line = f"{row.name:<14} {row.state:<15} {row.address:<26} {process}"
            out.print(line.rstrip(), highlight=False, soft_wrap=True)
        what = "data, logs and credentials" if rows else "no server was ever started"
        out.print(f"{what} in {servers.folder}", highlight=False, soft_wrap=True)
    if any(row.state in ("died", "not answering") for row in rows):
        raise typer.Exit(Exit.FAILED)


@app.command()
def install(names: Names) -> None:
    """Fetch or build servers without starting them, for instance into the cache of a build machine.

    Exit codes: 0 all are there, 1 one could not be installed, 2 an unknown name.
    """
    servers = _servers(None, names)
    _leave(_side_by_side(names, servers.install, lambda name, where: out.print(f"{name:<14} {where}", highlight=False)))


def variables(name: str, server: Server) -> Mapping[str, str]:
    """Return what a program needs to use a server, as environment variables; the values hold secrets.

    They are options of the project: with them it uses the server, as its Kafka, as its source, or as one of its stores.
    A server that holds a store also gives the address for its own clients.
    """
    if name == "kafka":
        return {"TRAVELOS_KAFKA_BOOTSTRAP": server.address}
    if isinstance(server, PostgresServer):
        return {
            "TRAVELOS_SOURCE_DSN": server.dsn(SOURCE_DATABASE),
            "TRAVELOS_STORES_RELATIONAL_URL": server.dsn(RELATIONAL_DATABASE),
        }
    store, options = _store_options(server)
    prefix = f"TRAVELOS_STORES_{store.upper()}_"
    chosen = {prefix + option.upper(): value for option, value in {"kind": name, **options}.items()}
    return {f"{name.upper()}_URL": server.url, **chosen}


def _store_options(server: Server) -> tuple[StoreName, Mapping[str, str]]:
    """Return which store a server can be, and the options of that kind."""
    match server:
        case Neo4jServer():
            return "graph", {"url": server.address, "username": "neo4j", "password": server.password}
        case ElasticsearchServer():
            return "search", {"url": server.address, "username": "elastic", "password": server.password}
        case InfluxServer():
            names = {"organisation": server.organisation, "bucket": server.bucket}
            return "timeseries", {"url": server.address, "token": server.token, **names}
        case RedisServer():
            return "cache", {"url": server.address, "password": server.password}
        case S3Server():
            keys = {"access_key": server.access_key, "secret_key": server.secret_key, "region": server.region}
            return "objects", {"endpoint": server.address, "path_style": "true", **keys}
        case _:
            raise TypeError(f"{server.name} holds no store")


def _servers(folder: Path | None, names: Sequence[str]) -> LocalServers:
    configure_logging()
    for client in CLIENTS:
        logging.getLogger(client).setLevel(logging.CRITICAL)
    for name in names:
        if name not in KINDS:
            near = difflib.get_close_matches(name, KINDS, n=1)
            hint = f"did you mean {near[0]}?" if near else "there are " + ", ".join(KINDS)
            fail(f"no server is called {name!r}; {hint}", Exit.USAGE)
    return LocalServers(folder or default_folder())


def _side_by_side(
    names: Sequence[str],
    action: Callable[[str], T],
    done: Callable[[str, T], object],
    *,
    interrupted: Callable[[str], None] = lambda _: None,
) -> dict[str, ServerFailed]:
    """Do something for each name at the same time, report each as it is done, and return what failed."""
    failed: dict[str, ServerFailed] = {}
    with ThreadPoolExecutor(max_workers=max(1, len(names))) as threads:
        running: dict[Future[T], str] = {threads.submit(action, name): name for name in dict.fromkeys(names)}
        try:
            for future in as_completed(running):
                try:
                    done(running[future], future.result())
                except ServerFailed as error:
                    failed[running[future]] = error
        except KeyboardInterrupt:
            unfinished = [future for future in running if not future.done()]
            # Twice: a thread may be about to start its server when we look first.
            for future in unfinished:
                interrupted(running[future])
            threads.shutdown()
            for future in unfinished:
                interrupted(running[future])
            fail("interrupted", Exit.INTERRUPTED)
    return failed


def _print_variables(servers: LocalServers, names: Sequence[str]) -> None:
    if not names:
        return
    out.print("\nOptions that make the project use them (the files hold the secrets):", highlight=False)
    for name in names:
        server = servers.server(name)
        for variable, value in variables(name, server).items():
            out.print(f"  {variable}={escape(server.masked(value))}", highlight=False, soft_wrap=True)
    files = [shlex.quote(str(servers.folder / f"{name}.env")) for name in names]
    out.print("Set them in this shell with:", highlight=False)
    out.print("  " + "; ".join(f". {file}" for file in files), highlight=False, soft_wrap=True)


def _leave(failed: Mapping[str, ServerFailed]) -> None:
    for name, error in failed.items():
        err.print(f"[bold red]error:[/] {name}: {escape(str(error))}", highlight=False, soft_wrap=True)
    if failed:
        raise typer.Exit(Exit.FAILED)
