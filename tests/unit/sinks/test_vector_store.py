# pyright: reportUnknownMemberType=false
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from connectors.sinks.contract import APPLIED, Held, Rejected
from connectors.sinks.sqlite.database import connect_writer
from connectors.sinks.sqlite.vector import SCHEMA, VectorReader, VectorSink
from schemas.writes import VectorWrite

SOURCE = "user-events"


def unit(*values: float) -> bytes:
    array = np.array(values, "<f4")
    return (array / np.linalg.norm(array)).astype("<f4").tobytes()


def write(entity: str, values: bytes, version: int = 1, **fields: Any) -> VectorWrite:
    named: dict[str, Any] = {"namespace": "places", "model": "m1", "text": entity, **fields}
    return VectorWrite(
        entity=entity,
        version=version,
        source=SOURCE,
        event_id="e",
        occurred_at=datetime(2026, 5, 1, tzinfo=UTC),
        values=values,
        **named,
    )


def reason(outcome: object) -> str:
    assert isinstance(outcome, Rejected)
    return outcome.reason


@pytest.fixture
def sink(tmp_path: Path) -> Generator[VectorSink]:
    sink = VectorSink(tmp_path / "vector.db")
    sink.open()
    yield sink
    sink.close()


@pytest.fixture
def reader(sink: VectorSink) -> Generator[VectorReader]:
    with VectorReader(sink.path) as reader:
        yield reader


def test_the_nearest_documents_come_first_by_cosine_distance(sink: VectorSink, reader: VectorReader) -> None:
    sink.write([write("east", unit(1, 0)), write("north", unit(0, 1)), write("west", unit(-1, 0))])
    found = reader.nearest("places", unit(1, 0.1), 3)
    assert [match.entity for match in found] == ["east", "north", "west"]
    assert [round(match.distance, 1) for match in found] == [0.0, 0.9, 2.0]
    assert len(reader.nearest("places", unit(1, 0), 2)) == 2


def test_a_new_version_replaces_the_vector_and_not_only_the_text(sink: VectorSink, reader: VectorReader) -> None:
    sink.write([write("a", unit(1, 0)), write("b", unit(0, 1))])
    sink.write([write("a", unit(0, -1), version=2, text="moved")])
    assert [match.entity for match in reader.nearest("places", unit(1, 0.01), 2)] == ["b", "a"]
    assert reader.nearest("places", unit(0, -1), 1)[0].text == "moved"


def test_a_vector_that_is_what_it_was_is_written_again_only_as_a_repair(sink: VectorSink, reader: VectorReader) -> None:
    sink.write([write("a", unit(1, 0)), write("b", unit(0, 1))])
    sink.connection.execute(
        "UPDATE vectors_places SET embedding = ? WHERE rowid = (SELECT id FROM documents WHERE entity = 'a')",
        (unit(0, -1),),
    )
    sink.write([write("a", unit(1, 0), version=2, text="renamed")])
    (match,) = reader.nearest("places", unit(0, -1), 1)
    assert (match.entity, match.text) == ("a", "renamed")
    sink.write([write("a", unit(1, 0), version=2, text="renamed", repair=True)])
    (match,) = reader.nearest("places", unit(1, 0), 1)
    assert (match.entity, round(match.distance, 6)) == ("a", 0.0)


def test_a_vector_that_goes_away_and_comes_back_is_written_each_time(sink: VectorSink, reader: VectorReader) -> None:
    for version, values in enumerate((unit(1, 0), unit(0, 1), unit(1, 0)), 1):
        sink.write([write("a", values, version=version)])
        assert reader.nearest("places", values, 1)[0].distance < 1e-6
    sink.write([write("a", b"", version=4, op="delete"), write("a", unit(1, 0), version=5)])
    assert reader.nearest("places", unit(1, 0), 1)[0].distance < 1e-6


def test_a_store_of_an_earlier_release_takes_new_vectors_of_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "vector.db"
    earlier = connect_writer(path, structs.replace(SCHEMA, migrations=SCHEMA.migrations[:1]))
    earlier.execute("""
        INSERT INTO namespaces VALUES ('places', 'm1', 2);
        CREATE VIRTUAL TABLE vectors_places USING vec0(embedding float[2] distance_metric=cosine);
        INSERT INTO documents (id, entity, namespace, text, metadata) VALUES (1, 'a', 'places', 'a', '{}');
        INSERT INTO vectors_places (rowid, embedding) VALUES (1, '[0, 1]');
    """).fetchall()
    earlier.close()
    sink = VectorSink(path)
    sink.open()
    assert sink.write([write("a", unit(1, 0)), write("b", unit(0, 1))]) == [APPLIED] * 2
    sink.close()
    with VectorReader(path) as reader:
        assert [match.entity for match in reader.nearest("places", unit(1, 0), 2)] == ["a", "b"]


def test_filters_apply_before_the_search(sink: VectorSink, reader: VectorReader) -> None:
    users = [write(f"near-{n}", unit(1, n / 1000), metadata={"user_id": "u1", "n": n}) for n in range(50)]
    sink.write([*users, write("far", unit(-1, 0), metadata={"user_id": "u2", "night": True, "price": None})])
    assert [match.entity for match in reader.nearest("places", unit(1, 0), 5, filters={"user_id": "u2"})] == ["far"]
    both = reader.nearest("places", unit(1, 0), 5, filters={"user_id": "u1", "n": 7})
    assert [match.metadata for match in both] == [{"user_id": "u1", "n": 7}]
    assert len(reader.nearest("places", unit(1, 0), 5, filters={"night": True, "price": None})) == 1
    assert reader.nearest("places", unit(1, 0), 5, filters={"user_id": "nobody"}) == []


def test_namespaces_are_searched_apart_and_may_differ_in_model_and_dimension(
    sink: VectorSink, reader: VectorReader
) -> None:
    photo = write("photo", unit(1, 2, 3), namespace="photos", model="clip")
    assert sink.write([write("place", unit(1, 0)), photo]) == [APPLIED] * 2
    assert [match.entity for match in reader.nearest("photos", unit(1, 2, 3))] == ["photo"]
    assert reader.nearest("trips", unit(1, 0)) == []


def test_an_entity_that_changes_its_namespace_is_held_once(sink: VectorSink, reader: VectorReader) -> None:
    sink.write([write("a", unit(1, 0)), write("other", unit(1, 0), namespace="photos", model="p")])
    assert sink.write([write("a", unit(1, 0), version=2, namespace="photos", model="p")]) == [APPLIED]
    assert sink.held([("a", SOURCE)]) == {("a", SOURCE): Held(version=2)}
    assert reader.nearest("places", unit(1, 0)) == []


def test_a_delete_names_no_content_and_finds_the_document_in_its_namespace(
    sink: VectorSink, reader: VectorReader
) -> None:
    sink.write([write("a", unit(1, 0), namespace="photos", model="p")])
    assert sink.write([write("a", b"", version=2, model="", op="delete")]) == [APPLIED]
    assert reader.nearest("photos", unit(1, 0)) == []
    assert reader.counts() == {"documents": 0}


def test_a_vector_that_does_not_compare_with_its_namespace_is_rejected_by_name(sink: VectorSink) -> None:
    sink.write([write("a", unit(1, 0))])
    wrong_model, wrong_size, not_finite, zero, odd, empty, nowhere = sink.write(
        [
            write("b", unit(1, 0), model="m2"),
            write("c", unit(1, 0, 0)),
            write("d", np.array([1, np.nan], "<f4").tobytes()),
            write("e", np.zeros(2, "<f4").tobytes()),
            write("f", b"12345"),
            write("g", b""),
            write("h", unit(1, 0), namespace="nowhere; DROP TABLE documents"),
        ]
    )
    assert "`model` is `m2`, but namespace `places` holds vectors of `m1`" in reason(wrong_model)
    assert "`values` have 3 dimensions, but namespace `places` holds vectors of 2" in reason(wrong_size)
    assert "finite" in reason(not_finite)
    assert "zero" in reason(zero)
    assert "5 bytes" in reason(odd)
    assert "0 bytes" in reason(empty)
    assert reason(nowhere).startswith("`namespace` is")


def test_an_emptied_namespace_takes_another_model(sink: VectorSink, reader: VectorReader) -> None:
    sink.write([write("a", unit(1, 0)), write("a", b"", version=2, op="delete")])
    assert sink.write([write("b", unit(1, 2, 3), model="m2")]) == [APPLIED]
    assert [match.entity for match in reader.nearest("places", unit(1, 2, 3))] == ["b"]


def test_a_question_of_another_dimension_is_an_error_that_says_so(sink: VectorSink, reader: VectorReader) -> None:
    sink.write([write("a", unit(1, 0))])
    with pytest.raises(ValueError, match="vector has 3 dimensions, namespace `places` has 2"):
        reader.nearest("places", unit(1, 2, 3))
    with pytest.raises(ValueError, match="k must be in"):
        reader.nearest("places", unit(1, 2), 0)
