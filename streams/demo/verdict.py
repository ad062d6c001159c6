"""The reconciliation of a demo: every acknowledged record against every store."""

from collections.abc import Iterable, Set
from contextlib import closing

import msgspec
from msgspec import Struct

from connectors.kafka.reading import StoredRecord, read_topics
from schemas.headers import header_map
from schemas.writes import STORES, decode_write, store_of
from streams.app import gps_rules, intake_rules, registry
from streams.conflicts.load import rules_of
from streams.demo.faults import FAULT_HEADER, Fault
from streams.object_storage import large_values_of
from streams.redrive import Letter, read_letters
from streams.settings import Options
from streams.stores import sink_of
from streams.verify.agreement import Settled
from streams.verify.model import Expected, Key, Position, expect, position_of
from streams.verify.reconcile import Report, StoreReport, check_letters, check_store, still_waiting


class Verdict(Struct, frozen=True):
    """What was expected and what was found."""

    expected: Expected
    report: Report


def judge(options: Options, acknowledged: list[StoredRecord], faults: list[Fault]) -> Verdict:
    """Compare the stores with what follows from the acknowledged events and from all else that Kafka holds.

    Events of earlier runs count too: they left their traces in the travellers' states. The workers must have stopped:
    the stores are opened here.
    """
    catalogue, connection = options.catalogue(), options.kafka.connection()
    sources = (catalogue.user_events, catalogue.gps_events, catalogue.urgent_events)
    held = read_topics(connection, [topic.name for topic in sources])
    changes = read_topics(connection, [topic.name for topic in catalogue.all_changes])
    settling = rules_of(options.conflicts)
    said = (catalogue.claims, catalogue.conflict_commands) if settling is not None else ()
    heard = read_topics(connection, [topic.name for topic in said])
    with closing(large_values_of(options)) as large_values:
        expected = expect(
            list({position_of(record): record for record in (*acknowledged, *held)}.values()),
            changes,
            rules=intake_rules(options),
            unframe=registry(options, large_values),
            gps=gps_rules(options),
            nearest_metres=options.enrich.nearest_place_metres,
            settled=None if settling is None else Settled(settling, catalogue, heard),
        )
    letters = read_letters(read_topics(connection, [catalogue.dead_letters.name]))
    rejected = _versions(letter for letter in letters if _is_rejection(letter))
    refused = [
        ((letter.topic, letter.partition, letter.offset), letter.message)
        for letter in letters
        if not _is_rejection(letter)
    ]
    waiting = still_waiting(
        read_topics(connection, [catalogue.waiting_events.name]),
        read_topics(connection, [catalogue.resumed_events.name]),
    )
    problems = check_letters(expected.letters, refused)
    problems += _check_reasons(acknowledged, faults, dict(refused))
    stores: list[StoreReport] = []
    for store in STORES:
        sink = sink_of(store, options)
        sink.open()
        try:
            stores.append(check_store(store, sink, expected, waiting=waiting, rejected=rejected))
        finally:
            sink.close()
    report = Report(
        stores=stores,
        letters_expected=len(expected.letters),
        letters_found=len(refused),
        waiting=len(waiting & expected.unplaced),
        problems=problems,
    )
    return Verdict(expected, report)


def _is_rejection(letter: Letter) -> bool:
    return letter.store is not None and letter.stage != "decode"


def _versions(letters: Iterable[Letter]) -> Set[tuple[Key, int]]:
    """Return which versions of which entities the letters are about."""
    writes = (decode_write(letter.value) for letter in letters if letter.value is not None)
    return {((store_of(write), write.entity, write.source), write.version) for write in writes}


def _check_reasons(acknowledged: list[StoredRecord], faults: list[Fault], letters: dict[Position, str]) -> list[str]:
    """Return for which bad records the dead letter is missing or does not say what is wrong with them.

    This does not rest on the stages: what is wrong with each record was written down when it was made.
    """
    known = {fault.name: fault for fault in faults}
    problems: list[str] = []
    for record in acknowledged:
        fault = known.get(header_map(record.headers).get(FAULT_HEADER, ""))
        if fault is None:
            continue
        reason = letters.get(position_of(record))
        if fault.fate == "dead_letter" and (reason is None or fault.reason not in reason):
            problems.append(f"bad record {fault.name!r}: expected a dead letter with {fault.reason!r}, got {reason!r}")
        if fault.fate != "dead_letter" and reason is not None:
            problems.append(f"record {fault.name!r} became a dead letter: {reason}")
    return problems


def as_json(verdict: Verdict) -> object:
    """Return the verdict for machines."""
    report = verdict.report
    return {
        "adds_up": report.adds_up,
        "events": verdict.expected.events,
        "changes": verdict.expected.changes,
        "duplicates": verdict.expected.duplicates,
        "waiting": report.waiting,
        "dead_letters": {"expected": report.letters_expected, "found": report.letters_found},
        "stores": [msgspec.to_builtins(store) for store in report.stores],
        "problems": report.problems,
    }
