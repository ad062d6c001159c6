"""`travelos sinks`: the stores that the options name, whether they can be written to, and pausing them."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, cast

import structlog
import typer
from msgspec import to_builtins

from connectors.producers import EventProducer, ProducerError
from connectors.sinks.errors import SinkError
from connectors.sinks.kinds import EMBEDDED, UnknownKind
from connectors.sinks.probe import round_trip
from connectors.sinks.reindexing import Reindexing
from schemas.controls import InvalidControl, StoreControl, decode_control, encode_control
from schemas.writes import STORES, StoreName
from streams.cli.common import (
    AsJson,
    ConfigFile,
    Exit,
    fail,
    have_topic,
    load_options,
    operator,
    out,
    print_rows,
    records_of,
    with_brokers,
)
from streams.settings import Options
from streams.settings.load import without_login
from streams.stores import sink_of

log = structlog.get_logger(__name__)

SOURCE = "/travelos/sinks"

app = typer.Typer(help="Check the stores, pause and resume their deliveries.", no_args_is_help=True)

Names = Annotated[list[str] | None, typer.Argument(metavar="[STORE]...", help="Default: all.", show_default=False)]


@app.command()
def check(stores: Names = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Make a round trip through stores: connect, write a test entry, find it, delete it, find it deleted.

    Only the tombstone of the test entry stays. Workers may run meanwhile.

    Exit codes: 0 all stores took part, 1 one did not, 2 wrong options or no such store.
    """
    options = load_options(config)
    names = stores_named(stores or [])
    with ThreadPoolExecutor(len(names)) as threads:
        rows = list(threads.map(partial(_checked, options), names))
    print_rows(rows, as_json=as_json)
    if any(row["state"] != "ok" for row in rows):
        raise typer.Exit(Exit.FAILED)


@app.command("list")
def list_stores(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Print the stores, their kinds, and which are paused.

    Exit codes: 0 printed, 1 Kafka does not answer, 2 wrong options.
    """
    options = with_brokers(config)
    paused = _controls(options)
    rows: list[dict[str, Any]] = []
    for store in STORES:
        control = paused.get(store)
        held = control is not None and control.paused
        rows.append(
            {
                "store": store,
                "kind": options.stores.of(store).kind,
                "state": "paused" if held else "running",
                "since": control.at.isoformat() if control is not None and held else None,
                "by": control.by if control is not None and held else None,
                "why": control.why if control is not None and held else None,
            }
        )
    print_rows(rows, as_json=as_json)


@app.command()
def pause(
    stores: Annotated[list[str], typer.Argument(metavar="STORE...", show_default=False)],
    why: Annotated[str, typer.Option(help="Told in logs, by `list` and by /live of the workers.")] = "",
    config: ConfigFile = None,
) -> None:
    """Have all workers call a store no more, until `resume`; it holds over restarts, and nothing is lost.

    Workers finish the requests that are under way, and read no more of the store's topics. Other stores go on.

    Exit codes: 0 said, 1 Kafka does not take it, 2 wrong options or no such store.
    """
    _say(with_brokers(config), stores_named(stores), paused=True, why=why)


@app.command()
def resume(
    stores: Annotated[list[str], typer.Argument(metavar="STORE...", show_default=False)],
    config: ConfigFile = None,
) -> None:
    """Have the workers go on with a store that was paused, where they were.

    Exit codes: 0 said, 1 Kafka does not take it, 2 wrong options or no such store.
    """
    _say(with_brokers(config), stores_named(stores), paused=False)


@app.command()
def reindex(
    store: Annotated[str, typer.Argument(metavar="[STORE]", help="Whose index.")] = "search",
    delete_old: Annotated[bool, typer.Option("--delete-old", help="Delete the old index afterwards.")] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Make the index of a store anew while it is read and written, as its options say now, and move to it in one step.

    Workers may run meanwhile; their writes wait for the last moment of it. If it fails, all is as before.

    Exit codes: 0 made, 1 the store does not answer or refuses, 2 wrong options, or the store has no such index.
    """
    options = load_options(config)
    [name] = stores_named([store])
    try:
        sink = sink_of(name, options)
        if not isinstance(sink, Reindexing):
            fail(f"{name} is {options.stores.of(name).kind}, which has no index to be made anew", Exit.USAGE)
        print_rows([to_builtins(sink.reindex(delete_old=delete_old))], as_json=as_json)
    except (SinkError, UnknownKind) as error:
        fail(without_login(str(error)))


def _say(options: Options, stores: Sequence[StoreName], *, paused: bool, why: str = "") -> None:
    topic, by, said = options.catalogue().store_controls, operator(), "paused" if paused else "resumed"
    have_topic(options, topic)
    try:
        with EventProducer(options.kafka.connection(), options.catalogue(), source=SOURCE) as producer:
            for store in stores:
                control = StoreControl(store=store, paused=paused, by=by, at=datetime.now(UTC), why=why)
                producer.publish_raw(topic.name, store.encode(), encode_control(control))
    except ProducerError as error:
        fail(str(error))
    for store in stores:
        out.print(f"{store}: {said}", highlight=False)


def _controls(options: Options) -> dict[str, StoreControl]:
    """Return what was said of each store last."""
    found: dict[str, StoreControl] = {}
    for record in records_of(options, options.catalogue().store_controls):
        try:
            if record.value is not None:
                control = decode_control(record.value)
                found[control.store] = control
        except InvalidControl as error:
            log.warning("control_not_readable", offset=record.offset, error=str(error))
    return found


def stores_named(names: Sequence[str]) -> Sequence[StoreName]:
    """Return the stores with these names, all when there are none; leave with USAGE when one does not exist."""
    for name in names:
        if name not in STORES:
            fail(f"there is no store {name!r}; there are {', '.join(STORES)}", Exit.USAGE)
    return cast(Sequence[StoreName], names) or STORES


def _checked(options: Options, store: StoreName) -> dict[str, Any]:
    kind = options.stores.of(store).kind
    row: dict[str, Any] = {"store": store, "kind": kind, "state": "failed", "round_trip_ms": None, "detail": None}
    if (store, kind, options.stores.relational.url.get_secret_value()) == ("relational", EMBEDDED, ""):
        env_file = options.data_dir / "travelos.env"
        row["detail"] = (
            f"stores.relational.url is not set; while `travelos run` runs, it is in {env_file}: . {env_file}"
        )
        return row
    try:
        taken = round_trip(store, sink_of(store, options), datetime.now(UTC))
    except (SinkError, UnknownKind) as error:
        return {**row, "detail": without_login(str(error))}
    # A sink of somebody else's may raise anything; the other stores are still to be told of.
    except Exception as error:
        log.debug("sink_raised", store=store, exc_info=error)
        return {**row, "detail": without_login(f"{type(error).__name__}: {error}")}
    return {**row, "state": "ok", "round_trip_ms": round(taken, 1)}
