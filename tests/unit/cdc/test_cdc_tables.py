import msgspec
import pytest

from connectors.cdc import types
from connectors.cdc.errors import KeyUnknown, MalformedMessage, UnreadableValue
from connectors.cdc.pgoutput import UNCHANGED, Relation, RelationColumn
from connectors.cdc.tables import Column, Indexes, Table, table_of


def relation(identity: str, *columns: str, key: tuple[str, ...] = ()) -> Relation:
    described = tuple(RelationColumn(name, types.TEXT, -1, name in key or identity == "f") for name in columns)
    return Relation(7, "public", "t", identity, described)


def key_names(table: Table) -> list[str]:
    return [table.columns[place].name for place in table.key]


def test_a_row_is_one_object_with_the_columns_in_order() -> None:
    table = Table("s", "t", "topic", [Column("b", types.INT4, -1), Column("a", types.TEXT, -1)], key=[1])
    values = table.encode([b"1", b"x"])
    assert table.row(values) == b'{"b":1,"a":"x"}'
    assert table.key_of(values) == b'{"a":"x"}'


def test_null_and_values_that_are_not_in_the_stream_are_told_apart() -> None:
    table = Table("s", "t", "topic", [Column("a", types.TEXT, -1), Column("b", types.TEXT, -1)], key=[])
    assert table.row(table.encode([None, UNCHANGED])) == b'{"a":null,"b":"__debezium_unavailable_value"}'
    assert table.key_of(table.encode([None, UNCHANGED])) is None


@pytest.mark.parametrize("name", ["a b", 'quo"te', "100%", "%b", "Größe", "\\"])
def test_names_of_columns_may_be_anything(name: str) -> None:
    table = Table("s", "t", "topic", [Column(name, types.INT4, -1)], key=[0])
    values = table.encode([b"1"])
    assert msgspec.json.decode(table.row(values)) == {name: 1}
    assert msgspec.json.decode(table.key_of(values) or b"") == {name: 1}


def test_a_row_of_another_width_is_refused() -> None:
    table = Table("s", "t", "topic", [Column("a", types.TEXT, -1)], key=[])
    with pytest.raises(MalformedMessage, match=r"a row of s\.t has 2 values, its columns are 1"):
        table.encode([b"1", b"2"])


def test_an_unreadable_value_names_its_column_and_is_not_quoted() -> None:
    table = Table("s", "t", "topic", [Column("a", types.TEXT, -1), Column("b", types.INT4, -1)], key=[])
    with pytest.raises(UnreadableValue, match=r"column s\.t\.b of type int4") as refused:
        table.encode([b"x", b"secret"])
    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_the_key_is_the_primary_key_in_its_own_order() -> None:
    described = relation("d", "a", "b", "c", key=("a", "c"))
    indexes = Indexes(columns=("a", "b", "c"), primary_key=("c", "a"))
    assert key_names(table_of(described, indexes, "topic")) == ["c", "a"]


def test_with_full_replica_identity_the_catalogue_tells_the_key() -> None:
    indexes = Indexes(columns=("a", "b"), primary_key=("b",))
    assert key_names(table_of(relation("f", "a", "b"), indexes, "topic")) == ["b"]


def test_with_an_index_as_replica_identity_its_columns_are_the_key() -> None:
    described = relation("i", "id", "u", key=("u",))
    indexes = Indexes(columns=("id", "u"), primary_key=("id",), identity_index=("u",))
    assert key_names(table_of(described, indexes, "topic")) == ["u"]


def test_a_table_without_a_primary_key_has_no_key() -> None:
    for identity in "dfn":
        table = table_of(relation(identity, "a"), Indexes(columns=("a",)), "topic")
        assert table.key == ()


def test_a_key_that_was_renamed_since_is_found_by_its_place() -> None:
    indexes = Indexes(columns=("new_id", "b"), primary_key=("new_id",))
    assert key_names(table_of(relation("f", "id", "b"), indexes, "topic")) == ["id"]


def test_what_the_message_says_of_the_key_wins_over_the_catalogue_of_today() -> None:
    described = relation("d", "a", "b", key=("a",))
    indexes = Indexes(columns=("a", "b"), primary_key=("b",))
    assert key_names(table_of(described, indexes, "topic")) == ["a"]


def test_a_table_that_was_dropped_since_keeps_the_key_of_the_message() -> None:
    assert key_names(table_of(relation("d", "a", "b", key=("b",)), Indexes(), "topic")) == ["b"]


def test_a_key_that_cannot_be_told_is_an_error_with_a_way_out() -> None:
    indexes = Indexes(columns=("a", "b", "id"), primary_key=("id",))
    with pytest.raises(KeyUnknown, match=r"columns of public\.t have changed.*source\.tables.*when_needed"):
        table_of(relation("f", "a", "b"), indexes, "topic")
