"""`travelos verify`: what it prints, and what its exit code says."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from schemas.writes import STORES, StoreName
from streams.cli import verify
from streams.cli.main import command_line
from streams.settings import Options
from streams.verify.lines import Finding
from streams.verify.stores import Plan
from streams.verify.sweep import StoreReport

LOST = Finding(
    store="search", entity="place:1", source="cdc", kind="missing", expected=7, found=None, detail="it is not there"
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[StoreName, Plan]]:
    """Answer for the stores: in the search one something is missing, the vector store is away.

    Of objects not all writes are known.
    """
    calls: list[tuple[StoreName, Plan]] = []

    def answers(stores: Sequence[StoreName], options: Options, plan: Plan) -> list[StoreReport]:
        return [answer(store, plan) for store in stores]

    def answer(store: StoreName, plan: Plan) -> StoreReport:
        calls.append((store, plan))
        findings = [LOST] if store == "search" and not plan.repair else []
        failed = "it does not answer" if store == "vector" else None
        report = StoreReport(store=store, entities=10, compared=8, under_way=2, findings=findings, failed=failed)
        if store == "objects":
            report.known_from, report.unaccounted = {"writes.objects/2": 120}, 7
        return report

    monkeypatch.setattr(verify, "sweep_stores", answers)
    monkeypatch.setenv("TRAVELOS_KAFKA_BOOTSTRAP", "127.0.0.1:1")
    return calls


def run(*arguments: str) -> Any:
    return CliRunner().invoke(command_line(["verify"]), ["verify", *arguments])


def test_all_stores_are_compared_and_something_wrong_is_exit_code_1(asked: list[tuple[StoreName, Plan]]) -> None:
    done = run("--json")
    assert done.exit_code == 1
    stores = {one["store"]: one for one in json.loads(done.stdout)["stores"]}
    assert list(stores) == list(STORES)
    assert stores["search"]["findings"][0]["kind"] == "missing"
    assert stores["search"]["agreement"] == pytest.approx(1 - 1 / 8)
    assert stores["vector"]["failed"] == "it does not answer"


def test_one_store_that_agrees_is_exit_code_0(asked: list[tuple[StoreName, Plan]]) -> None:
    assert run("--store", "graph", "--sample", "0.25", "--rate", "50").exit_code == 0
    [(store, plan)] = asked
    assert (store, plan.share, plan.rate, plan.repair) == ("graph", 0.25, 50, False)


def test_what_was_repaired_is_exit_code_0_and_what_is_wrong_is_printed(asked: list[tuple[StoreName, Plan]]) -> None:
    done = run("--store", "search")
    assert done.exit_code == 1
    assert "place:1" in done.stdout
    assert run("--store", "search", "--repair").exit_code == 0


def test_a_store_that_is_away_is_exit_code_1(asked: list[tuple[StoreName, Plan]]) -> None:
    assert run("--store", "vector").exit_code == 1


def test_a_store_of_which_not_all_writes_are_known_is_exit_code_1_and_told_unless_that_is_accepted(
    asked: list[tuple[StoreName, Plan]],
) -> None:
    done = run("--store", "objects")
    assert done.exit_code == 1
    assert "objects: not all writes are known" in done.stdout
    assert "writes.objects/2 before 120" in done.stdout
    assert "7 that the store holds are unaccounted for" in done.stdout
    assert run("--store", "objects", "--accept-unaccounted").exit_code == 0
    assert run("--store", "search", "--accept-unaccounted").exit_code == 1


@pytest.mark.parametrize("arguments", [("--sample", "0"), ("--sample", "1.5"), ("--store", "nowhere")])
def test_wrong_options_are_exit_code_2(asked: list[tuple[StoreName, Plan]], arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2
    assert asked == []


def test_the_figures_are_written_for_prometheus(asked: list[tuple[StoreName, Plan]], tmp_path: Path) -> None:
    run("--metrics", str(tmp_path / "verify.prom"))
    text = (tmp_path / "verify.prom").read_text()
    assert 'stream_verify_findings{kind="missing",store="search"} 1.0' in text
    assert 'stream_verify_compared{store="graph"} 8.0' in text
    assert 'stream_verify_unaccounted{store="objects"} 7.0' in text
    assert 'stream_verify_all_known{store="objects"} 0.0' in text
    assert 'stream_verify_all_known{store="graph"} 1.0' in text
    assert 'stream_verify_failed{store="vector"} 1.0' in text
