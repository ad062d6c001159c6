# pyright: reportPrivateUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
"""What is done next with each broker is what aiokafka does."""

from functools import partial
from types import SimpleNamespace
from typing import Any

from aiokafka.cluster import ClusterMetadata
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.structs import BrokerMetadata, TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from streams.runtime.fetch_planning import actions_per_node

NODES = (1, 2)


def _state(position: int | None, paused: bool) -> SimpleNamespace:
    valid = position is not None
    places = {"_position": position, "position": position, "has_valid_position": valid}
    return SimpleNamespace(**places, _paused=paused, paused=paused, resume_fut=object())


state = st.builds(_state, st.none() | st.integers(0, 9), st.booleans())
# Leader, preferred replica, state, whether something of it waits to be consumed and for how long it may.
partition = st.tuples(
    st.sampled_from([None, -1, *NODES]),
    st.none() | st.sampled_from(NODES),
    state,
    st.none() | st.sampled_from([0, 0.5, 1]),
)


@given(
    st.dictionaries(st.builds(TopicPartition, st.sampled_from("ab"), st.integers(0, 4)), partition),
    st.sets(st.sampled_from(NODES)),
    st.booleans(),
)
def test_what_is_asked_of_whom_and_how_long_is_waited_is_what_aiokafka_says(
    partitions: dict[TopicPartition, Any], in_flight: set[int], replicas: bool
) -> None:
    cluster = ClusterMetadata()
    cluster._brokers = {node: BrokerMetadata(node, "here", 1, None) for node in NODES}
    leaders = {tp: leader for tp, (leader, *_) in partitions.items()}
    cluster.leader_for_partition = leaders.get  # type: ignore[method-assign]
    fetcher: Any = SimpleNamespace(
        _client=SimpleNamespace(cluster=cluster),
        _records={
            tp: SimpleNamespace(calculate_backoff=lambda held=held: held)
            for tp, (*_, held) in partitions.items()
            if held is not None
        },
        _in_flight=in_flight,
        _preferred_read_replica={
            tp: (preferred, float("inf"))
            for tp, (_, preferred, *_) in partitions.items()
            if replicas and preferred is not None
        },
        _fetch_max_wait_ms=50,
        _fetch_min_bytes=1,
        _fetch_max_bytes=1_000,
        _max_partition_fetch_bytes=100,
        _isolation_level=1,
        _client_rack=None,
        _fetcher_timeout=0.2,
    )
    fetcher._select_read_replica = partial(Fetcher._select_read_replica, fetcher)
    assignment = SimpleNamespace(
        tps=frozenset(partitions), _tp_state={tp: state for tp, (_, _, state, _) in partitions.items()}
    )
    assignment.state_value = assignment._tp_state.get
    ours = actions_per_node(fetcher, assignment)
    theirs = Fetcher._get_actions_per_node(fetcher, assignment)
    assert _plain(ours)[:3] == _plain(theirs)[:3]
    if in_flight != set(NODES):  # else told of after the next fetch
        assert _plain(ours)[3:] == _plain(theirs)[3:]


def _plain(actions: Any) -> tuple[Any, ...]:
    fetches, resets, seconds, unknown, resumed = actions
    asked = {
        node: (
            sorted((topic, sorted(numbers)) for topic, numbers in request._topics),
            request._max_wait_ms,
            request._min_bytes,
            request._max_bytes,
            request._isolation_level,
            request._rack_id,
        )
        for node, request in fetches
    }
    return asked, {node: sorted(tps) for node, tps in resets.items() if tps}, seconds, unknown, set(map(id, resumed))
