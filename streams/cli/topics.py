"""`travelos topics`: the catalogue, and the cluster's topics compared with it."""

from typing import Annotated, Any

import typer

from connectors.kafka.admin import TopicAdmin
from connectors.kafka.errors import KafkaUnavailable, TopicsError
from connectors.kafka.topics import Alter, Create, Mismatch, Step
from schemas.topics import Topic
from streams.cli.common import AsJson, ConfigFile, Exit, fail, load_options, out, print_rows
from streams.settings import Options

Bootstrap = Annotated[
    str | None, typer.Option("--bootstrap", help="Brokers instead of kafka.bootstrap.", metavar="HOST:PORT")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]

TIMEOUT_SECONDS = 30.0

app = typer.Typer(help="Show, create and check the topics of the catalogue.", no_args_is_help=True)


@app.command("list")
def list_topics(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Print the catalogue; no cluster is asked.

    Exit codes: 0 printed, 2 wrong options.
    """
    topics = load_options(config).catalogue()
    rows = [_json_row(topic) if as_json else _row(topic) for topic in topics]
    print_rows(rows, as_json=as_json)


@app.command()
def apply(
    config: ConfigFile = None, bootstrap: Bootstrap = None, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Create the topics that are missing, change settings that differ, and wait until they can be used.

    The number of partitions of a topic is never changed, because its keys would move; such a topic is reported.

    Exit codes: 0 the topics are as they have to be (with --dry-run: would be), 1 a topic has another number of
    partitions or something failed, 2 wrong options.
    """
    options = load_options(config, kafka__bootstrap=bootstrap)
    admin, topics = _admin(options), list(options.catalogue())
    try:
        steps = admin.plan(topics)
        if not dry_run:
            admin.apply(steps)
            done = [step for step in steps if not isinstance(step, Mismatch)]
            steps = [*done, *admin.plan(topics)]  # the in-memory cluster may have given a topic other partitions
    except (TopicsError, KafkaUnavailable) as error:
        fail(str(error))
    _print_steps(steps, as_json=as_json)
    if any(isinstance(step, Mismatch) for step in steps):
        raise typer.Exit(Exit.FAILED)


@app.command()
def check(config: ConfigFile = None, bootstrap: Bootstrap = None, as_json: AsJson = False) -> None:
    """Compare the cluster with the catalogue and print what differs.

    Exit codes: 0 nothing differs, 1 something does or the cluster does not answer, 2 wrong options.
    """
    options = load_options(config, kafka__bootstrap=bootstrap)
    try:
        steps = _admin(options).plan(options.catalogue())
    except (TopicsError, KafkaUnavailable) as error:
        fail(str(error))
    _print_steps(steps, as_json=as_json)
    if steps:
        raise typer.Exit(Exit.FAILED)


def _admin(options: Options) -> TopicAdmin:
    if not options.kafka.bootstrap:
        fail("no brokers are named: set kafka.bootstrap (TRAVELOS_KAFKA_BOOTSTRAP) or give --bootstrap", Exit.USAGE)
    return TopicAdmin(options.kafka.connection(), replication=options.kafka.replication, timeout=TIMEOUT_SECONDS)


def _print_steps(steps: list[Step], *, as_json: bool) -> None:
    if not steps and not as_json:
        out.print("all topics are as the catalogue says")
        return
    print_rows([_step_row(step) for step in steps], as_json=as_json)


def _step_row(step: Step) -> dict[str, Any]:
    match step:
        case Create(topic):
            settings = ", ".join(f"{name}={value}" for name, value in topic.config.items())
            return {"topic": topic.name, "action": "create", "detail": f"{topic.partitions} partitions, {settings}"}
        case Alter(topic, settings):
            changes = ", ".join(f"{one.name}: {one.old} -> {one.new}" for one in settings)
            return {"topic": topic.name, "action": "alter", "detail": changes}
        case Mismatch(topic, reason):
            return {"topic": topic.name, "action": "mismatch", "detail": reason}


def _row(topic: Topic) -> dict[str, Any]:
    return {
        "topic": topic.name,
        "key": topic.key,
        "value": topic.value,
        "partitions": topic.partitions,
        "cleanup": topic.cleanup,
        "owner": topic.owner,
    }


def _json_row(topic: Topic) -> dict[str, Any]:
    return {**_row(topic), "purpose": topic.purpose, "retention_ms": topic.retention_ms, "config": topic.config}
