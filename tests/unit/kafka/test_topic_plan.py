import pytest
from confluent_kafka import KafkaError
from hypothesis import given
from hypothesis import strategies as st

from connectors.kafka.errors import explained
from connectors.kafka.topics import Alter, Create, Existing, Mismatch, Setting, plan
from schemas.topics import DAY_MS, Catalogue, Topic

CATALOGUE = list(Catalogue())


def topic() -> Topic:
    return Topic(
        name="t", key="id", value="Event", owner="test", purpose="test", partitions=4, cleanup="compact,delete"
    )


def existing(config: dict[str, str] | None = None, partitions: int = 4) -> Existing:
    return Existing(partitions=partitions, config={**topic().config, **(config or {})})


@given(st.sets(st.sampled_from(range(len(CATALOGUE)))))
def test_what_is_missing_is_created_and_nothing_else(missing: set[int]) -> None:
    there = {
        one.name: Existing(partitions=one.partitions, config=one.config)
        for number, one in enumerate(CATALOGUE)
        if number not in missing
    }
    assert plan(CATALOGUE, there) == [Create(CATALOGUE[number]) for number in sorted(missing)]


def test_a_setting_that_differs_is_altered() -> None:
    [step] = plan([topic()], {"t": existing({"retention.ms": "5"})})
    assert step == Alter(topic(), (Setting("retention.ms", "5", str(7 * DAY_MS)),))
    assert str(step) == f"alter t: retention.ms from 5 to {7 * DAY_MS}"


def test_settings_that_the_catalogue_does_not_name_are_left_alone() -> None:
    assert plan([topic()], {"t": existing({"segment.ms": "5", "compression.type": "zstd"})}) == []


def test_the_order_of_cleanup_policies_does_not_matter() -> None:
    assert plan([topic()], {"t": existing({"cleanup.policy": "delete, compact"})}) == []


@pytest.mark.parametrize("partitions", [1, 3, 5, 400])
def test_another_number_of_partitions_is_never_changed_but_reported(partitions: int) -> None:
    [step] = plan([topic()], {"t": existing(partitions=partitions)})
    assert isinstance(step, Mismatch)
    assert f"has {partitions} partitions, the catalogue says 4" in str(step)
    assert f"kafka.partitions = {partitions}" in str(step)


def test_settings_that_cannot_be_read_are_not_compared() -> None:
    assert plan([topic()], {"t": Existing(partitions=4, config=None)}) == []


def test_a_cluster_with_more_topics_than_the_catalogue_is_left_alone() -> None:
    assert plan([], {"t": existing()}) == []


def test_errors_name_the_topic_and_the_fix() -> None:
    def text(code: int) -> str:
        return explained("t", KafkaError(code), 3)

    assert "topic `t`" in text(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    assert "grant CREATE" in text(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    assert "kafka.create_topics = false" in text(KafkaError.CLUSTER_AUTHORIZATION_FAILED)
    assert "kafka.replication = 3" in text(KafkaError.INVALID_REPLICATION_FACTOR)
    assert "topic `t`" in text(KafkaError.POLICY_VIOLATION)
    assert "POLICY_VIOLATION" in text(KafkaError.POLICY_VIOLATION)


def test_a_topic_of_changes_may_be_compacted_or_kept_whole() -> None:
    changes = Catalogue().changes_of("public.users")
    whole = changes.without_keys()
    assert (whole.cleanup, whole.retention_ms, whole.name) == ("delete", -1, changes.name)
    assert Catalogue(keyless_changes=True).changes_of("public.users") == whole
    for config in (changes.config, whole.config):
        assert plan([changes], {changes.name: Existing(partitions=4, config=config)}) == []
    short = {**whole.config, "retention.ms": "1000"}
    assert len(plan([changes], {changes.name: Existing(partitions=4, config=short)})) == 1
    [step] = plan([whole], {whole.name: Existing(partitions=4, config=changes.config)})
    assert "cleanup.policy from compact to delete" in str(step)
