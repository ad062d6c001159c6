"""A batch of row changes: writes for the stores, and what enrichment knows from then on."""

import json
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.kafka.reading import StoredRecord
from connectors.registry import RegistryUnavailable
from schemas.headers import ERROR_MESSAGE, SCHEMA, Headers, header_map
from schemas.reference import Place, PlaceVector, Profile
from schemas.wire import read_frame, unframe_without_registry
from streams.agents.changes import ChangePass, decode
from streams.agents.embed import Embedders
from streams.agents.ingest import Reference
from streams.enrichment.places import PlaceIndex
from streams.runtime.publisher import TryAgain
from tests.unit.agents.conftest import Texts

ROW = {
    "id": "r-1",
    "name": "Roma",
    "cuisine": "Italian",
    "borough": "Queens",
    "lat": 40.7,
    "lon": -73.9,
    "grades": None,
}
FRAME = b"\x00\x00\x00\x00\x2a"


def change(
    op: str = "c", row: dict[str, Any] | None = None, table: str = "restaurants", **source: Any
) -> dict[str, Any]:
    row = ROW if row is None else row
    return {
        "before": row if op == "d" else None,
        "after": None if op == "d" else row,
        "source": {
            "version": "3.4",
            "connector": "postgresql",
            "name": "cdc.travel",
            "ts_ms": 1_777_636_800_000,
            "db": "travel",
            "schema": "public",
            "table": table,
            "lsn": 100,
            **source,
        },
        "op": op,
    }


def record(stage: Any, value: Any, key: Any = None, offset: int = 0) -> Any:
    key = {"id": "r-1"} if key is None else key
    value = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
    topic = stage.catalogue.changes["public.restaurants"].name
    return stage.record(topic, offset, key if isinstance(key, bytes) else json.dumps(key).encode(), value)


async def test_an_insert_reaches_the_stores_and_what_enrichment_knows(stage: Any) -> None:
    await ChangePass(stage.ingest()).process([record(stage, change())])
    assert {write.__struct_config__.tag for write in stage.writes()} == {"search", "vector", "graph", "warehouse"}
    assert stage.texts.batches == [["Roma: Italian restaurant in Queens, New York."]]
    (known,) = stage.of(stage.catalogue.reference_places.name)
    assert known.key == b"r-1"
    assert msgspec.json.decode(known.value, type=Place).lsn == 100


async def test_a_delete_takes_the_place_from_enrichment_with_a_tombstone(stage: Any) -> None:
    await ChangePass(stage.ingest()).process([record(stage, change("d", {"id": "r-1"})), record(stage, None, offset=1)])
    (known,) = stage.of(stage.catalogue.reference_places.name)
    assert (known.key, known.value) == (b"r-1", None)
    assert stage.letters() == []


async def test_the_meaning_of_a_place_goes_to_a_topic_of_its_own_until_the_place_is_deleted(stage: Any) -> None:
    await ChangePass(stage.ingest()).process([record(stage, change())])
    await ChangePass(stage.ingest()).process([record(stage, change("d", {"id": "r-1"}), offset=1)])
    first, last = stage.of(stage.catalogue.reference_vectors.name)
    assert msgspec.json.decode(first.value, type=PlaceVector).lsn == 100
    assert (first.key, last.key, last.value) == (b"r-1", b"r-1", None)


class Restarts:
    """Workers one after another, each of which knows only what the topics hold."""

    def __init__(self, stage: Any) -> None:
        self._stage = stage
        self._offset = 0
        self.asked: list[str] = []  # what the models were asked for, by all workers

    async def change(self, op: str = "c", model: str = "length", **row: Any) -> None:
        """Start a worker and have it process a change."""
        stage, texts = self._stage, Texts()
        texts.model = model
        known = [(one.key, one.value) for one in stage.of(stage.catalogue.reference_vectors.name)]
        reference = Reference(PlaceIndex(150), {})
        reference.apply_vectors(known)
        ingest = stage.ingest(reference=reference, embedders=Embedders(cast(Any, texts), cast(Any, None)))
        self._offset += 1
        one = record(stage, change(op, {**ROW, **row}, lsn=100 + self._offset), offset=self._offset)
        await ChangePass(ingest).process([one])
        self.asked += [text for batch in texts.batches for text in batch]


async def test_a_text_that_did_not_change_is_not_embedded_again_by_a_worker_that_starts_anew(stage: Any) -> None:
    workers = Restarts(stage)
    await workers.change()
    await workers.change("u", zipcode="11101")
    await workers.change("r")
    assert workers.asked == ["Roma: Italian restaurant in Queens, New York."]
    first, *others = stage.writes("vector")
    assert [(one.values, one.model, one.text) for one in others] == [(first.values, first.model, first.text)] * 2
    assert first.version < others[0].version < others[1].version


async def test_a_text_that_changed_is_embedded_once_and_so_is_one_that_changes_back(stage: Any) -> None:
    workers = Restarts(stage)
    for name in ("Roma", "Milan", "Milan", "Roma", "Roma"):
        await workers.change("u", name=name)
    assert [text.partition(":")[0] for text in workers.asked] == ["Roma", "Milan", "Roma"]
    one, two, *others = [write.values for write in stage.writes("vector")]
    assert one != two
    assert others == [two, one, one]


async def test_a_place_that_was_deleted_and_comes_back_is_embedded_once(stage: Any) -> None:
    workers = Restarts(stage)
    for op in ("c", "d", "c", "u"):
        await workers.change(op)
    assert len(workers.asked) == 2
    assert [one.op for one in stage.writes("vector")] == ["upsert", "delete", "upsert", "upsert"]


async def test_another_model_embeds_what_the_one_before_it_did(stage: Any) -> None:
    workers = Restarts(stage)
    await workers.change()
    await workers.change("u", model="newer")
    await workers.change("u", model="newer")
    assert len(workers.asked) == 2
    assert [one.model for one in stage.writes("vector")] == ["length", "newer", "newer"]


async def test_a_vector_of_before_texts_had_hashes_is_made_anew(stage: Any) -> None:
    known = msgspec.json.encode({"lsn": 1, "model": "length", "values": "AAAAAAAAAAA="})
    stage.reference.apply_vectors([(b"r-1", known)])
    await ChangePass(stage.ingest()).process([record(stage, change())])
    assert len(stage.texts.batches) == 1


async def test_travellers_go_to_their_own_topic_and_other_tables_to_the_warehouse_only(stage: Any) -> None:
    ann = change(row={"id": "ann", "name": "Ann"}, table="users")
    other = change(row={"id": 1, "x": [1, 2]}, table="invoices")
    await ChangePass(stage.ingest()).process([record(stage, ann, {"id": "ann"}), record(stage, other, {"id": 1})])
    (known,) = stage.of(stage.catalogue.reference_users.name)
    assert msgspec.json.decode(known.value, type=Profile).name == "Ann"
    assert stage.of(stage.catalogue.reference_places.name) == []
    assert [write.entity for write in stage.writes("warehouse")] == [
        "change:cdc.travel%3Apublic.users%3Aann%3A100",
        "change:cdc.travel%3Apublic.invoices%3A1%3A100",
    ]


@pytest.mark.parametrize(
    ("value", "key", "reason"),
    [
        (b"garbage", None, "JSON is malformed"),
        (b'{"op": "\xff"}', None, "utf-8"),
        pytest.param(b'{"after":' * 100_000, None, "nested", id="nested value"),
        (change(lsn=None), None, "source.lsn"),
        (change(lsn=-1), None, "source.lsn"),
        (change(lsn=2**63), None, "source.lsn"),
        (change(ts_ms=10**18), None, "source.ts_ms"),
        (change(ts_ms=-1), None, "source.ts_ms"),
        (change(name=""), None, "source.name"),
        (change("u", {"id": "r-1"}), None, "`name`"),
        (change(row={**ROW, "lat": 95.0}), None, "$.lat"),
        (change(row={**ROW, "lon": "east"}), None, "$.lon"),
        (change(row={**ROW, "grades": "{}"}), None, "column grades"),
        (change(row={**ROW, "grades": "__debezium_unavailable_value"}), None, "REPLICA IDENTITY FULL"),
        ({**change(), "after": None}, None, "`after`"),
        (change(row={"name": "no id"}, table="invoices"), b"null", "neither a key nor a column `id`"),
        (change(), b"not JSON", "the key is not JSON"),
        pytest.param(change(), b"[" * 100_000, "the key is not JSON", id="nested key"),
        (change(), {"id": "x" * 4_100}, "the key of a change of public.restaurants is too long"),
        (FRAME + json.dumps(change()).encode(), None, "schema id 42"),
        (change(), FRAME + b'{"id": "r-1"}', "schema id 42"),
    ],
)
async def test_what_is_no_change_becomes_a_dead_letter_with_a_reason_and_the_others_go_on(
    stage: Any, value: Any, key: Any, reason: str
) -> None:
    around = [
        record(stage, change(row={**ROW, "id": name}), {"id": name}, offset=at) for at, name in ((1, "a"), (3, "b"))
    ]
    bad = record(stage, value, key, offset=2)
    await ChangePass(stage.ingest()).process([around[0], bad, around[1]])
    (letter,) = stage.letters()
    assert (letter.key, letter.value) == (bad.key, bad.value)
    said = header_map(letter.headers)
    assert reason in said[ERROR_MESSAGE]
    assert said[SCHEMA] == "Change"
    assert [write.entity for write in stage.writes("search")] == ["place:a", "place:b"]


async def test_both_forms_of_the_envelope_and_of_the_key_name_the_same_entity(stage: Any) -> None:
    wrapped = record(stage, {"schema": {}, "payload": change()}, {"schema": {}, "payload": {"id": "r-1"}})
    await ChangePass(stage.ingest()).process([wrapped, record(stage, change())])
    first, second = stage.writes("search")
    assert first == second


async def test_operations_that_concern_no_row_and_tombstones_give_nothing(stage: Any) -> None:
    truncate = {**change("t"), "after": None}
    nothing: dict[str, Any] = {"schema": {}, "payload": None}
    await ChangePass(stage.ingest()).process([record(stage, truncate), record(stage, nothing), record(stage, None)])
    assert stage.kafka.records == []


async def test_keys_and_values_are_taken_out_of_a_registrys_frames(stage: Any) -> None:
    def unframe(value: bytes, headers: Headers = ()) -> bytes:
        frame = read_frame(value, headers)
        return value if frame is None else frame.payload

    framed = record(stage, FRAME + json.dumps(change()).encode(), FRAME + b'{"id": "r-1"}')
    await ChangePass(stage.ingest(unframe=unframe)).process([framed])
    assert stage.letters() == []
    assert [write.entity for write in stage.writes("search")] == ["place:r-1"]


async def test_while_the_registry_is_away_changes_wait_and_do_not_become_dead_letters(stage: Any) -> None:
    def unframe(value: bytes, headers: Headers = ()) -> bytes:
        raise RegistryUnavailable("it is restarting")

    with pytest.raises(TryAgain, match="restarting"):
        await ChangePass(stage.ingest(unframe=unframe)).process([record(stage, FRAME + b"{}")])
    assert stage.kafka.records == []


@given(
    st.lists(
        st.tuples(
            st.none() | st.binary(max_size=20) | st.sampled_from([b'{"id": "r-1"}', b'{"schema": 1, "payload": [1]}']),
            st.none()
            | st.binary(max_size=20)
            | st.sampled_from(["c", "d", "u", "t"]).map(lambda op: json.dumps(change(op)).encode()),
        ),
        max_size=5,
    )
)
def test_whatever_comes_decoding_ends_with_a_change_a_reason_or_nothing(drawn: list[tuple[bytes, bytes]]) -> None:
    records = [
        StoredRecord(topic="t", partition=0, offset=offset, timestamp=0, key=key, value=value)
        for offset, (key, value) in enumerate(drawn)
    ]
    found = decode(records, unframe_without_registry)
    assert len(found.changes) + len(found.refused) <= len(records)
    assert all(str(one.error) for one in found.refused)
