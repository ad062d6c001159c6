"""The arithmetic of the benchmark of the source of changes: rates and CPU time from samples of progress."""

from pathlib import Path

import pytest

from bench.cdc import rates
from bench.cdc.debezium import Debezium, PeerEvent
from bench.runtime.timeline import Sample
from bench.runtime.workers import MeasurementFailed


class Process:
    def __init__(self, pid: int | None) -> None:
        self.pid = pid

    def last_lines(self) -> str:
        return "the end of its log"


class Reader:
    def __init__(self, samples: list[Sample], pid: int | None = 1) -> None:
        self.process = Process(pid)
        self._samples = samples

    @property
    def done(self) -> int:
        return self._samples[-1].done

    def samples(self) -> list[Sample]:
        return self._samples


def test_a_snapshot_is_measured_from_its_first_rows_to_its_last_one() -> None:
    reader = Reader([Sample(1, 0, 5), Sample(2, 100, 6), Sample(3, 500, 6.5), Sample(4, 1_100, 7), Sample(9, 1_100, 8)])
    measured = rates.snapshot(reader, 1_100)
    assert measured == (1_000, 2, 1)
    assert (measured.rate, measured.cpu_per_million) == (500, 1_000)


def test_a_reader_that_ended_is_a_failure_that_shows_its_log() -> None:
    with pytest.raises(MeasurementFailed, match="7 of 10 rows:\nthe end of its log"):
        rates.wait_for(Reader([Sample(1, 7, 0)], pid=None), 10)


def test_a_line_that_the_peer_has_not_finished_is_not_read(tmp_path: Path) -> None:
    peer = Debezium(tmp_path, {}, ["public.t"], keep_records=True)
    assert peer.events() == []
    line = '{"topic": "t", "key": null, "value": "{}", "headers": [["a", "b"]]}\n'
    (tmp_path / "records.jsonl").write_text(line + '{"topic": "t", "ke')
    assert peer.events() == [PeerEvent("t", None, "{}", [("a", "b")])]
    peer.process.log_file.write_text('a warning\n{"at": 1.5, "done": 3, "cpu": 0.25}\n{"at": 2.')
    assert peer.samples() == [Sample(1.5, 3, 0.25)]
    assert peer.done == 3
