"""What the leader of a group gives to its members."""

from typing import Any, cast
from unittest.mock import Mock

import pytest
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from faust.assignor.client_assignment import ClientAssignment, ClientMetadata
from faust.assignor.partition_assignor import PartitionAssignor

from streams.runtime.assignor import EvenAssignor

PARTITIONS = {"in": 4, "app-counts-changelog": 4, "wide": 6}
TOPICS = list(PARTITIONS)
Told = dict[str, ClientAssignment]


def partitions_of(topic: str) -> set[int]:
    return set(range(PARTITIONS[topic]))


class Group:
    """Members that join and leave, each rebalance decided by an assignor."""

    def __init__(self, kind: type[PartitionAssignor], replicas: int) -> None:
        tables = Mock(data={}, changelog_topics={"app-counts-changelog"})
        sensors = Mock(on_assignment_start=Mock(return_value=None))
        self.assignor = kind(cast(Any, Mock(tables=tables, sensors=sensors, tracer=None)), replicas=replicas)
        self.told: Told = {}

    def rebalance(self, *members: str) -> dict[str, list[int]]:
        """Return how many partitions of each topic each member has now."""
        cluster = Mock(partitions_for_topic=partitions_of)
        empty = ClientAssignment(actives={}, standbys={})
        said = {
            member: ConsumerProtocolMemberMetadata(4, TOPICS, _metadata(member, self.told.get(member, empty)).dumps())
            for member in members
        }
        given = self.assignor.assign(cluster, cast(Any, said))
        decompress = cast(Any, self.assignor)._decompress
        self.told = {
            member: cast(Any, ClientMetadata.loads(decompress(one.user_data))).assignment
            for member, one in given.items()
        }
        return {member: [len(one.actives.get(topic, [])) for topic in TOPICS] for member, one in self.told.items()}


def _metadata(member: str, assignment: ClientAssignment) -> ClientMetadata:
    return ClientMetadata(assignment=assignment, url=f"http://{member}", changelog_distribution={})


@pytest.mark.parametrize("replicas", [0, 1, 2])
def test_a_third_worker_that_joins_two_gets_its_share(replicas: int) -> None:
    group = Group(EvenAssignor, replicas)
    assert group.rebalance("a") == {"a": [4, 4, 6]}
    assert group.rebalance("a", "b") == {"a": [2, 2, 3], "b": [2, 2, 3]}
    third = group.rebalance("a", "b", "c")
    assert sorted(one[0] for one in third.values()) == [1, 1, 2]
    assert sorted(one[2] for one in third.values()) == [2, 2, 2]
    assert sorted(one[0] for one in group.rebalance("b", "c").values()) == [2, 2]


def test_fausts_own_leaves_the_third_one_nothing() -> None:
    group = Group(PartitionAssignor, 1)
    group.rebalance("a")
    group.rebalance("a", "b")
    assert group.rebalance("a", "b", "c")["c"][0] == 0


def test_topics_of_as_many_partitions_stay_together_and_each_partition_has_its_standby_elsewhere() -> None:
    group = Group(EvenAssignor, 1)
    for members in ("a", "ab", "abc", "abcd", "bcd", "bd"):
        group.rebalance(*members)
        for one in group.told.values():
            assert sorted(one.actives["in"]) == sorted(one.actives["app-counts-changelog"])
            assert not set(one.actives["in"]) & set(one.standbys["in"])
        actives = [number for one in group.told.values() for number in one.actives["in"]]
        standbys = [number for one in group.told.values() for number in one.standbys["in"]]
        assert sorted(actives) == [0, 1, 2, 3]
        assert sorted(standbys) == ([0, 1, 2, 3] if len(members) > 1 else [])


def test_who_stays_keeps_what_it_has() -> None:
    group = Group(EvenAssignor, 1)
    group.rebalance("a")
    group.rebalance("a", "b")
    before = {member: set(one.actives["wide"]) for member, one in group.told.items()}
    group.rebalance("a", "b", "c")
    for member in ("a", "b"):
        assert set(group.told[member].actives["wide"]) < before[member]


def test_two_releases_of_workers_may_be_in_one_group() -> None:
    faust, ours = (kind(cast(Any, Mock())) for kind in (PartitionAssignor, EvenAssignor))
    assert (faust.name, faust.version) == (ours.name, ours.version)
