"""`travelos warehouse`: what is done with the warehouse as a whole."""

from contextlib import closing
from typing import Annotated

import typer
from msgspec import structs

from connectors.sinks.errors import SinkError
from connectors.sinks.kinds import UnknownKind
from connectors.storage import Storage
from streams.cli.common import AsJson, ConfigFile, Exit, fail, load_options, print_rows
from streams.object_storage import warehouse_of
from streams.settings import Options

app = typer.Typer(help="Load the warehouse into BigQuery.", no_args_is_help=True)


@app.callback()
def _commands() -> None:
    """Make `load` a command of its own, although it is the only one."""


@app.command()
def load(
    config: ConfigFile = None,
    as_json: AsJson = False,
    project: Annotated[str | None, typer.Option(help="Instead of bigquery.project.", show_default=False)] = None,
) -> None:
    """Load what is new in the warehouse in S3 into BigQuery; nothing is loaded twice, however often this is run.

    Exit codes: 0 loaded, 1 BigQuery or the store does not answer, 2 wrong options.
    """
    options = load_options(config, bigquery__project=project)
    if not options.bigquery.project:
        fail("no project is named: set bigquery.project (TRAVELOS_BIGQUERY_PROJECT)", Exit.USAGE)
    try:
        storage = warehouse_of(options)
    except UnknownKind as error:
        fail(str(error), Exit.USAGE)
    try:
        with closing(storage):
            _load(options, storage, as_json=as_json)
    except SinkError as error:
        fail(str(error))


def _load(options: Options, storage: Storage, *, as_json: bool) -> None:
    try:
        from connectors.bigquery import BigQueryLoader, Destination  # noqa: PLC0415 - its extra may be missing
        from connectors.bigquery.client import connect  # noqa: PLC0415
    except ImportError as error:
        fail(f"{error}; install the driver: pip install 'travelos-streams[bigquery]'", Exit.USAGE)
    chosen = options.bigquery
    storage.open()
    with closing(connect(chosen.project, chosen.credentials_file, chosen.endpoint)) as client:
        where = Destination(project=chosen.project, dataset=chosen.dataset, location=chosen.location)
        loaded = BigQueryLoader(client, where, storage).run()
    print_rows([structs.asdict(loaded)], as_json=as_json)
