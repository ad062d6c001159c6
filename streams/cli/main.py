"""The command line `travelos`."""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

import typer


class _Lazy(NamedTuple):
    """A command that is imported when it is called: the drivers of all stores take seconds to load."""

    module: str
    help: str


COMMANDS = {
    "demo": _Lazy("demo", "Show it all: real input, every store, questions and a reconciliation."),
    "run": _Lazy("run", "Run change capture, ingest and delivery together, for good."),
    "worker": _Lazy("worker", "Run one worker of a role: ingest, deliver or sagas."),
    "cdc": _Lazy("cdc", "Read the changes of a Postgres database into Kafka, as Debezium does."),
    "produce": _Lazy("produce", "Publish the events or the GPS points of a file."),
    "topics": _Lazy("topics", "Show, create and check the topics of the catalogue."),
    "schemas": _Lazy("schemas", "JSON Schemas and the AsyncAPI document: generate, check, release."),
    "config": _Lazy("config", "Print every option, its value and where the value comes from."),
    "replay": _Lazy("replay", "Have a role read topics again from a time, an offset or the beginning."),
    "sinks": _Lazy("sinks", "Check the stores, pause and resume their deliveries."),
    "warehouse": _Lazy("warehouse", "Load the warehouse into BigQuery."),
    "archive": _Lazy("archive", "Keep topics in the object store, read them back, look for gaps."),
    "dlq": _Lazy("dlq", "Look at dead letters and put them back."),
    "verify": _Lazy("verify", "Compare every store with the writes in Kafka, and repair it."),
    "conflicts": _Lazy("conflicts", "What sources contradict each other about; decide it."),
    "erase": _Lazy("erase", "Erase a person from everything, and certify it."),
    "erasure": _Lazy("erasure", "Run the role that erases; how far it is; check certificates."),
    "export": _Lazy("export", "Print all that is held about a person, with where it came from."),
    "sagas": _Lazy("sagas", "What became of facts of several stores; retry, abort, resume."),
    "keys": _Lazy("keys", "Keys of users: rotate master keys, look up and read sealed fields."),
    "local": _Lazy("local", "Start and stop real servers on this machine, without containers."),
}


def command_line(arguments: Sequence[str]) -> typer.Typer:
    """Return the command line; only the command that the arguments name is imported, the others are names and help."""
    app = typer.Typer(
        name="travelos",
        help="Events and Postgres changes in, every fact in the stores where it belongs.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    wanted = next((argument for argument in arguments if not argument.startswith("-")), None)
    for name, lazy in COMMANDS.items():
        if name != wanted:
            app.command(name, help=lazy.help)(_not_imported)
            continue
        module = import_module(f"streams.cli.{lazy.module}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name)
        else:
            app.command(name)(module.command)
    return app


def main() -> None:
    """Entry point of the `travelos` command."""
    command_line(sys.argv[1:])()


def _not_imported() -> None:
    """Stand for a command that was not named."""
