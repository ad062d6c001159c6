"""`travelos produce`: publish the events or the GPS points of a file."""

from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from connectors.keys.sealing import EventSealing
from connectors.large_values import LargeValues
from connectors.producers import EventProducer, QueueLimits, TopicMissing, Unreachable
from connectors.producers.event_files import read_events
from connectors.producers.gps_files import read_fixes
from connectors.producers.input_files import InputFile, Reading, UnreadableFile
from connectors.sinks.errors import SinkError
from schemas.events import InvalidEvent
from schemas.writes import EventPriority
from streams.cli.common import AsJson, ConfigFile, Exit, err, fail, load_options, out, print_json
from streams.cli.sending import send
from streams.keys import keys_of
from streams.object_storage import large_values_of
from streams.settings import Options

SOURCE = "/travelos/produce"
BROKER_SECONDS = 5.0
# A file can be sent again, an application's event cannot: less patience than EventProducer has by itself, and no more
# reading once the brokers do not answer.
LIMITS = QueueLimits(delivery_seconds=30, failures=0)

EXIT_CODES = (
    "Exit codes: 0 all were sent; 1 the brokers did not acknowledge some; 2 nothing was done (file, options); "
    "3 some records were bad, the rest was sent; 130 Ctrl-C, what had been read was sent first."
)

app = typer.Typer(help="Publish the events or the GPS points of a file.", no_args_is_help=True)

Rate = Annotated[
    float | None, typer.Option(min=0.001, help="Records per second; default as fast as possible.", show_default=False)
]
Bootstrap = Annotated[
    str | None, typer.Option(help="host:port of the brokers; overrides kafka.bootstrap.", show_default=False)
]
Lane = Annotated[
    EventPriority,
    typer.Option(
        help="`urgent` sends to the lane that overtakes all others; `low` may wait while a store lags behind."
    ),
]


@app.command(epilog=EXIT_CODES)
def events(
    file: Annotated[Path, typer.Argument(help="JSON lines, also .gz; - for standard input.", show_default=False)],
    rate: Rate = None,
    bootstrap: Bootstrap = None,
    priority: Lane = "normal",
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Publish events, one JSON object a line. Where `keys.store` is set, sensitive fields are sealed before.

    Each needs its `type`, `event_id`, `user_id` and `occurred_at`; none of these is made up. A bad line is reported
    with its number, and the rest goes on.
    """
    path = None if str(file) == "-" else file
    _produce(path, read_events, rate, bootstrap, priority, config, as_json=as_json)


@app.command(epilog=EXIT_CODES)
def gps(
    file: Annotated[Path, typer.Argument(help="GPX, CSV or GeoLife .plt, also .gz.", show_default=False)],
    user: Annotated[
        str | None, typer.Option(help="Whose points these are, where no column says so; default the file's name.")
    ] = None,
    rate: Rate = None,
    bootstrap: Bootstrap = None,
    priority: Lane = "normal",
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Publish the points of a GPS file as gps_update events.

    CSV needs a header with latitude, longitude and time under any usual name; user, speed, accuracy, heading and
    altitude are used when there. Times without a zone are UTC. Sending the same file again counts nothing twice. A bad
    point is reported with its number, and the rest goes on.
    """
    _produce(file, lambda opened: read_fixes(opened, file, user), rate, bootstrap, priority, config, as_json=as_json)


def _produce(
    path: Path | None,
    read: Callable[[InputFile], Reading],
    rate: float | None,
    bootstrap: str | None,
    priority: EventPriority,
    config: Path | None,
    *,
    as_json: bool,
) -> None:
    options = load_options(config, kafka__bootstrap=bootstrap)
    if not options.kafka.bootstrap:
        fail("no Kafka to send to: give --bootstrap host:port, or set the option kafka.bootstrap", Exit.USAGE)
    values = large_values_of(options) if options.large_values.enabled else None
    try:
        keys = keys_of(options)
        with (
            InputFile(path) as file,
            closing(values) if values is not None else nullcontext(),
            closing(keys) if keys is not None else nullcontext(),
        ):
            reading = (
                read(file)
                if keys is None
                else _sealed(read(file), EventSealing(keys, everything=options.keys.seals == "everything"))
            )
            summary = send(file, reading, _producer(options, values), rate=rate, priority=priority)
            name = file.name
    except UnreadableFile as error:
        fail(str(error), Exit.USAGE)
    except SinkError as error:
        fail(str(error))
    if summary.read == 0 and not summary.interrupted:
        err.print(f"{name} has no records: nothing to send", markup=False, highlight=False, soft_wrap=True)
    if as_json:
        print_json(summary.document())
    else:
        out.print(str(summary), markup=False, highlight=False, soft_wrap=True)
    if summary.error is not None:
        fail(summary.error, summary.exit_code)
    raise typer.Exit(summary.exit_code)


def _sealed(reading: Reading, sealing: EventSealing) -> Reading:
    """Return the records of a file with their sensitive fields sealed."""
    records = ((number, one if isinstance(one, InvalidEvent) else sealing(one)) for number, one in reading.records)
    return reading._replace(records=records)


def _producer(options: Options, values: LargeValues | None) -> EventProducer:
    """Return an open producer whose brokers answer; leave with FAILED when they do not."""
    producer = EventProducer(
        options.kafka.connection(), options.catalogue(), source=SOURCE, limits=LIMITS, large_values=values
    )
    producer.open()
    try:
        producer.check(BROKER_SECONDS)
    except Unreachable as error:
        producer.close()
        fail(f"{error} (option kafka.bootstrap, or --bootstrap)")
    except TopicMissing as error:
        producer.close()
        fail(f"{error}; `travelos topics apply` creates them")
    return producer
