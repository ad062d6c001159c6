import re

from schemas.generate import VALUE_TYPES
from schemas.state_tables import STATE_TABLES
from schemas.topics import Catalogue
from schemas.writes import STORES, WRITE_TYPES

# What only one role reads and writes, and what is kept as it came.
OPAQUE = {"CdcOffset", "LetterAction", "Signal", "StateEntry", "StoreControl", "the original bytes"}


def test_no_two_topics_have_the_same_name_and_all_names_are_allowed() -> None:
    names = [topic.name for topic in Catalogue(prefix="blue.")]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,249}", name) for name in names)


def test_the_prefix_is_before_every_name() -> None:
    assert all(topic.name.startswith("blue.") for topic in Catalogue(prefix="blue."))


def test_every_topic_has_the_same_number_of_partitions() -> None:
    assert {topic.partitions for topic in Catalogue(partitions=7)} == {7}


def test_every_topic_can_be_reached_by_iteration() -> None:
    catalogue = Catalogue(tables=["public.a", "public.b"])
    names = {topic.name for topic in catalogue}
    assert {topic.name for topic in catalogue.changes.values()} == {"cdc.travel.public.a", "cdc.travel.public.b"}
    assert {catalogue.writes(store, lane).name for store in STORES for lane in ("normal", "urgent")} <= names
    assert {catalogue.deferred(store).name for store in STORES} <= names
    assert {catalogue.changelog(table).name for table in STATE_TABLES} <= names


def test_a_writes_topic_carries_the_writes_of_its_store() -> None:
    catalogue = Catalogue()
    assert all(catalogue.writes(store).value == WRITE_TYPES[store].__name__ for store in STORES)


def test_every_value_is_a_type_with_a_schema_or_known_to_be_opaque() -> None:
    assert {topic.value for topic in Catalogue()} == set(VALUE_TYPES) | OPAQUE


def test_compacted_topics_keep_tombstones_for_the_slowest_reader() -> None:
    for topic in Catalogue():
        assert ("delete.retention.ms" in topic.config) == ("compact" in topic.cleanup)


def test_a_topic_that_is_only_compacted_keeps_its_records_for_ever() -> None:
    assert all("retention.ms" not in topic.config for topic in Catalogue() if topic.cleanup == "compact")


def test_a_dead_letter_has_room_for_the_largest_record_and_its_headers() -> None:
    catalogue = Catalogue()
    largest = max(topic.max_message_bytes for topic in catalogue if topic is not catalogue.dead_letters)
    assert catalogue.dead_letters.max_message_bytes > largest
