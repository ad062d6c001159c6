"""`travelos erasure`: run the role that erases persons, see how far it is, check certificates."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from prometheus_client import CollectorRegistry

from connectors.sinks.errors import SinkError
from schemas.erasures import Certificate, Erasure, InvalidErasureRecord, decode_erasure_record
from streams.cli.common import AsJson, ConfigFile, Exit, fail, load_options, out, print_rows, with_brokers
from streams.cli.newest import erasures_of
from streams.cli.until_told import PagesPort, until_told
from streams.cli.worker import prepare_topics
from streams.erasure.certificate import NotGenuine
from streams.erasure.certificate import check as check_signature
from streams.erasure.parts import key_of, worker_of
from streams.erasure.signing import public_key_of
from streams.erasure.worker import POLL_SECONDS_MOST
from streams.pages import LoopPages
from streams.runtime.web import listen

app = typer.Typer(help="Erase persons, see how far it is, check certificates.", no_args_is_help=True)


@app.command()
def run(
    port: PagesPort = None,
    config: ConfigFile = None,
) -> None:
    """Erase persons until told to stop (SIGTERM, Ctrl-C); a step that is under way is finished first.

    Start as many as you like on machines that reach the stores: they share the persons.

    Exit codes: 0 stopped in order, 1 a key or a store cannot be used, 2 wrong options.
    """
    options = with_brokers(config)
    if not options.erasure.enabled:
        fail("nobody holds back events of who is erased: set erasure.enabled (TRAVELOS_ERASURE_ENABLED)", Exit.USAGE)
    prepare_topics(options)
    with until_told() as stopping:
        registry = CollectorRegistry()
        worker = worker_of(options, registry)
        with (
            nullcontext()
            if port is None
            else LoopPages(listen(options.worker.host, port), worker, registry, POLL_SECONDS_MOST)
        ):
            worker.run(stopping)


@app.command("list")
def list_erasures(
    over: Annotated[bool, typer.Option("--over", help="Those that are over, too.")] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Print the erasures that are not over: the step each is at, and what it waits for.

    Exit codes: 0 printed, 1 Kafka does not answer, 2 wrong options.
    """
    found = erasures_of(with_brokers(config)).look().values()
    rows = [_row(one) for one in sorted(found, key=lambda one: one.began_at) if over or one.step != "over"]
    print_rows(rows, as_json=as_json)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A certificate.", show_default=False)],
    anybody: Annotated[
        bool, typer.Option("--anybody", help="Signed by whatever key it names, not by that of this installation.")
    ] = False,
    config: ConfigFile = None,
) -> None:
    """Check that a certificate is as it was signed, and by the key of this installation.

    Exit codes: 0 it is genuine, 1 it is not, or cannot be read, 2 wrong options.
    """
    options = load_options(config)
    try:
        certificate = decode_erasure_record(file.read_bytes(), Certificate)
        check_signature(certificate, None if anybody else public_key_of(key_of(options)))
    except (NotGenuine, InvalidErasureRecord, SinkError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{file}: {error.strerror}")
    statement = certificate.statement
    out.print(
        f"genuine: {statement.user_id} was erased, certified at {statement.certified_at.isoformat()}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _row(one: Erasure) -> dict[str, Any]:
    return {
        "person": one.user_id,
        "step": one.step,
        "requested_at": one.requested_at.isoformat(),
        "deleted": sum(store.deleted for store in one.stores.values()),
        "attempts": one.attempts,
        "waits_for": one.reason,
        "id": one.id,
    }
