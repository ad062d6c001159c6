# pyright: reportPrivateUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
"""What a consumer does next with each broker: aiokafka's decision, made without asking for each partition anew.

aiokafka goes through all partitions twice for each fetch, once only to find that one is under way, and tells its log of
each of them: of a hundred partitions and fifty fetches a second that was a tenth of a core.
"""

import random
from collections import defaultdict
from typing import Any

from aiokafka.protocol.fetch import FetchRequest

# Fetches by broker, partitions by the broker that is asked for their offsets, seconds until the next look, whether
# brokers are not known, futures of partitions that are paused.
Actions = tuple[list[tuple[Any, FetchRequest]], dict[Any, list[Any]], float, bool, list[Any]]


def actions_per_node(fetcher: Any, assignment: Any) -> Actions:
    """Return what aiokafka's `Fetcher._get_actions_per_node` does, but that the log is told nothing.

    While a fetch from every broker is under way, a partition without one is told of after the next of them.
    """
    records, in_flight = fetcher._records, fetcher._in_flight
    backoffs: defaultdict[Any, list[float]] = defaultdict(list)
    for tp, held in list(records.items()):
        if tp in assignment.tps and (backoff := held.calculate_backoff()):
            backoffs[fetcher._select_read_replica(tp)].append(backoff)
    if in_flight and all(broker.nodeId in in_flight for broker in fetcher._client.cluster.brokers()):
        return [], {}, _pause(fetcher, backoffs), False, []
    fetchable: defaultdict[Any, list[tuple[Any, int]]] = defaultdict(list)
    resetting: defaultdict[Any, list[Any]] = defaultdict(list)
    resumed: list[Any] = []
    unknown = False
    states, cluster = assignment._tp_state, fetcher._client.cluster
    node_of = fetcher._select_read_replica if fetcher._preferred_read_replica else cluster.leader_for_partition
    for tp in assignment.tps:
        if tp in records:
            continue
        node, state = node_of(tp), states[tp]
        if node in in_flight:
            continue
        if node is None or node == -1:
            unknown = True
        elif state._position is None:
            # Only a leader is asked for offsets, a replica that may be fetched from answers that it is none.
            leader = cluster.leader_for_partition(tp)
            if leader is None or leader == -1:
                unknown = True
            else:
                resetting[leader].append(tp)
        elif state._paused:
            resumed.append(state.resume_fut)
        else:
            fetchable[node].append((tp, state._position))
    # A broker of which something waits to be consumed, or whose offsets are asked for, is fetched from later.
    asked = [
        (node, _request(fetcher, found))
        for node, found in fetchable.items()
        if node not in backoffs and node not in resetting
    ]
    return asked, resetting, _pause(fetcher, backoffs), unknown, resumed


def _request(fetcher: Any, partitions: list[tuple[Any, int]]) -> FetchRequest:
    first = random.randrange(len(partitions))  # a broker may fill its answer with the first ones
    by_topic: defaultdict[str, list[tuple[int, int, int]]] = defaultdict(list)
    most = fetcher._max_partition_fetch_bytes
    for tp, position in partitions[first:] + partitions[:first]:
        by_topic[tp.topic].append((tp.partition, position, most))
    return FetchRequest(
        fetcher._fetch_max_wait_ms,
        fetcher._fetch_min_bytes,
        fetcher._fetch_max_bytes,
        fetcher._isolation_level,
        list(by_topic.items()),
        rack_id=fetcher._client_rack or "",
    )


def _pause(fetcher: Any, backoffs: dict[Any, list[float]]) -> float:
    """Return when a broker's records will have waited so long that it is fetched from all the same."""
    return min(map(max, backoffs.values())) if backoffs else fetcher._fetcher_timeout
