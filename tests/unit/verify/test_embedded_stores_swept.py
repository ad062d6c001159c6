"""The sweep of each embedded store: any single thing that was done to it by hand is found, alone, and repaired."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from connectors.sinks.contract import APPLIED
from connectors.sinks.embedded import embedded_sink
from schemas.writes import StoreName
from streams.verify.lines import Kind
from tests.unit.verify.by_hand import ENTITIES, FILES, deeds, rows, write_of
from tests.unit.verify.sweeping import SweptStore

DELETED = "e6"
AHEAD = "version put ahead"  # of all that can be done by hand the one thing that is not repaired


class Swept:
    """An embedded store with all entities, of which one was deleted."""

    def __init__(self, store: StoreName, folder: Path) -> None:
        self.folder = folder
        self.sink = embedded_sink(store, folder, "")
        self.sink.open()
        first = write_of(store, DELETED)
        writes = [*(write_of(store, entity) for entity in ENTITIES), first]
        writes.append(structs.replace(first, op="delete", version=6))
        for write in writes:  # in a batch each, so that of the warehouse each has a file
            assert self.sink.write([write]) == [APPLIED]
        self.swept = SweptStore(store, self.sink, writes)

    def close(self) -> None:
        self.sink.close()


EVERY_DEED = [
    (store, entity, name) for store in FILES for entity in ("e1", "e4", "e5") for name in deeds(store, entity)
]


@pytest.mark.parametrize(("store", "entity", "name"), EVERY_DEED)
def test_any_single_thing_done_by_hand_to_an_embedded_store_is_found_and_repaired(
    store: StoreName, entity: str, name: str, tmp_path: Path
) -> None:
    made = Swept(store, tmp_path)
    kind, deed = deeds(store, entity)[name]
    deed(tmp_path, entity)
    made.swept.assert_found({entity: kind})
    made.swept.repair()
    made.swept.assert_found({entity: kind} if name == AHEAD else {})
    made.close()


@pytest.mark.parametrize("store", list(FILES))
@given(hands=st.dictionaries(st.sampled_from(ENTITIES), st.integers(0, 100), min_size=1), added=st.booleans())
@settings(max_examples=15, deadline=None)
def test_whatever_was_done_by_hand_to_an_embedded_store_is_found_and_nothing_else_and_repaired(
    store: StoreName, hands: Mapping[str, int], added: bool
) -> None:
    with TemporaryDirectory() as folder:
        made = Swept(store, Path(folder))
        chosen: dict[str, str] = {}
        expected: dict[str, Kind] = {}
        for entity, number in hands.items():
            possible = deeds(store, entity)
            chosen[entity] = sorted(possible)[number % len(possible)]
            expected[entity], deed = possible[chosen[entity]]
            deed(Path(folder), entity)
        if added:
            assert made.sink.write([write_of(store, "nobody's")]) == [APPLIED]
        extra: dict[str, Kind] = {"nobody's": "extra"} if added else {}
        made.swept.assert_found({**expected, **extra})
        made.swept.repair()
        made.swept.assert_found({entity: expected[entity] for entity, name in chosen.items() if name == AHEAD})
        made.close()


@pytest.mark.parametrize("store", [store for store in FILES if store != "cache"])  # which may forget deletes
def test_a_delete_that_an_embedded_store_was_made_to_forget_is_found_and_repaired(
    store: StoreName, tmp_path: Path
) -> None:
    made = Swept(store, tmp_path)
    kind, deed = deeds(store, DELETED)["version removed"]
    deed(tmp_path, DELETED)
    made.swept.assert_found({DELETED: kind})
    made.swept.repair()
    made.swept.assert_found({})
    made.close()


def test_a_deleted_row_that_was_put_into_a_file_of_history_by_hand_is_found_and_removed(tmp_path: Path) -> None:
    made = Swept("warehouse", tmp_path)
    copy = rows(lambda row: [row, row | {"entity": DELETED}])
    copy(tmp_path, "e1")
    made.swept.assert_found({DELETED: "extra"})
    made.swept.repair()
    made.swept.assert_found({})
    made.close()
