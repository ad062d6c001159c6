"""Faust's assignor with even shares.

Faust moves nothing from a member that has no more than the average, rounded up: with four partitions, a third member
that joins two with two each has nothing to do. (Without standby tables it shares evenly, but which partitions move is
left to chance.) Here it is told of a distribution that is even already, and goes on from there: it adds standbys, and
finds nothing to move.
"""

from typing import cast

from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from faust.assignor.client_assignment import ClientAssignment, ClientMetadata
from faust.assignor.cluster_assignment import ClusterAssignment
from faust.assignor.partition_assignor import MemberAssignmentMapping, MemberMetadataMapping, PartitionAssignor

from streams.runtime.shares import even_shares


class EvenAssignor(PartitionAssignor):
    """Gives members of a group shares that differ by one partition at most, moving as few as that takes.

    Speaks the same protocol as Faust's own, so both may be in one group while workers are replaced; the leader decides.
    """

    def _perform_assignment(
        self, cluster: ClusterMetadata, member_metadata: MemberMetadataMapping
    ) -> MemberAssignmentMapping:
        described = {member: self._get_client_metadata(one) for member, one in member_metadata.items()}
        subscriptions = {member: list(one.subscription) for member, one in member_metadata.items()}
        current = ClusterAssignment()
        for member, one in described.items():
            current.add_client(member, subscriptions[member], one)
        owning = {member: dict(_assignment(one).actives) for member, one in described.items()}
        for partitions, groups in self._get_copartitioned_groups(current.topics(), cluster, subscriptions).items():
            for topics in groups:
                now = current.copartitioned_assignments(topics)
                shares = even_shares(
                    {member: one.actives for member, one in now.items()},
                    {member: one.standbys for member, one in now.items()},
                    partitions,
                )
                for member, share in shares.items():
                    owning[member].update(dict.fromkeys(topics, share))
        told: MemberMetadataMapping = {}
        for member, one in member_metadata.items():
            metadata = described[member]
            metadata.assignment = ClientAssignment(actives=owning[member], standbys=_assignment(metadata).standbys)
            told[member] = ConsumerProtocolMemberMetadata(one.version, one.subscription, metadata.dumps())
        return super()._perform_assignment(cluster, told)


def _assignment(metadata: ClientMetadata) -> ClientAssignment:
    return cast("ClientAssignment", metadata.assignment)  # pyright: ignore[reportUnknownMemberType] - a field of Faust's
