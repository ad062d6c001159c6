"""`travelos verify`: whether every store holds what its writes say, and putting right what it does not."""

from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from msgspec import to_builtins

from streams.cli.common import AsJson, ConfigFile, Exit, fail, out, print_json, print_rows, with_brokers
from streams.cli.sinks import stores_named
from streams.verify.lines import Kind
from streams.verify.metrics import write_metrics
from streams.verify.stores import Plan, sweep_stores
from streams.verify.sweep import StoreReport

KINDS: tuple[Kind, ...] = get_args(Kind)


def command(
    store: Annotated[
        list[str] | None, typer.Option(help="Only this store; may be repeated.", show_default=False)
    ] = None,
    sample: Annotated[float, typer.Option(help="Share of the entities, above 0 to 1; the same ones each time.")] = 1.0,
    rate: Annotated[float, typer.Option(help="Most entities a second of each store; 0: no limit.", min=0)] = 0.0,
    patience: Annotated[
        float, typer.Option(help="Seconds that deliveries are waited for before a second look.", min=0)
    ] = 30.0,
    repair: Annotated[bool, typer.Option("--repair", help="Send again the writes of what is wrong.")] = False,
    accept_unaccounted: Annotated[
        bool,
        typer.Option(
            "--accept-unaccounted",
            help="Exit with 0 although writes from before the topics begin, and the archive, are not known.",
        ),
    ] = False,
    metrics: Annotated[
        Path | None, typer.Option(help="Write the figures to this file, for Prometheus.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(help="Print so many findings at most; --json prints all.", min=1)] = 100,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Compare every store with all writes: versions, contents, and what nobody has written.

    Writes that Kafka has forgotten are read from the archive, where archive.include names their topics. Workers may run
    meanwhile; with --repair the role deliver has to.

    Exit codes: 0 all is as it should be, 1 something is wrong, or not all writes are known, or a store, Kafka or the
    archive does not answer, 2 wrong options.
    """
    options = with_brokers(config)
    if not 0 < sample <= 1:
        fail(f"--sample must be above 0 and at most 1, got {sample:g}", Exit.USAGE)
    names = stores_named(store or [])
    plan = Plan(share=sample, rate=rate, patience=patience, repair=repair)
    reports = sweep_stores(names, options, plan)
    if metrics is not None:
        write_metrics(reports, metrics)
    if as_json:
        print_json({"stores": [_json(one) for one in reports]})
    else:
        _print(reports, limit)
    if any(one.findings or one.failed or (one.known_from and not accept_unaccounted) for one in reports):
        raise typer.Exit(Exit.FAILED)


def _json(report: StoreReport) -> dict[str, Any]:
    return {**to_builtins(report), "agreement": report.agreement}


def _print(reports: list[StoreReport], limit: int) -> None:
    print_rows([_row(one) for one in reports], as_json=False)
    findings = [finding for report in reports for finding in report.findings]
    if findings:
        rows: list[dict[str, Any]] = [to_builtins(one) for one in findings[:limit]]
        print_rows(rows, as_json=False, title="what is wrong")
    if len(findings) > limit:
        out.print(f"{len(findings) - limit} more; --limit prints them")
    for one in reports:
        if one.known_from:
            out.print(_unknown(one), highlight=False, markup=False, soft_wrap=True)


def _unknown(report: StoreReport) -> str:
    topics = ", ".join(f"{home} before {first}" for home, first in report.known_from.items())
    return (
        f"{report.store}: not all writes are known, neither from Kafka nor the archive: {topics}. What was written "
        f"only there is not missed when it was removed, and {report.unaccounted} that the store holds are unaccounted "
        "for. Archive these topics and the dead letters (archive.include), or accept it with --accept-unaccounted"
    )


def _row(report: StoreReport) -> dict[str, Any]:
    counts = {kind: sum(one.kind == kind for one in report.findings) for kind in KINDS}
    unseen = [
        text for text, sees in (("contents", report.contents), ("what nobody has written", report.extras)) if not sees
    ]
    return {
        "store": report.store,
        "entities": report.entities,
        "compared": report.compared,
        "under way": report.under_way,
        **counts,
        "repaired": len(report.repaired),
        "left alone": report.left_alone,
        "unaccounted": report.unaccounted,
        "not looked at": ", ".join(unseen),
        "seconds": round(report.seconds, 1),
        "failed": report.failed,
    }
