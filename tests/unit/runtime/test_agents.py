"""Which topics an agent that takes runs may read."""

from pathlib import Path

import pytest

from connectors.kafka.connection import Connection
from streams.runtime.agents import ReadTwice
from streams.runtime.app import StreamApp
from streams.runtime.batches import Batch
from streams.runtime.state_folder import StateFolder


def test_a_topic_whose_runs_go_to_one_agent_is_not_given_to_a_second_one(tmp_path: Path) -> None:
    # Both would have got the same run, and the first to finish it would have had it committed for the other.
    folder = StateFolder(tmp_path)
    app = StreamApp("shop", Connection(bootstrap="127.0.0.1:1"), state_folder=folder, partitions=1)

    async def take(_: Batch[int]) -> None:
        pass

    app.batches("orders", value_type=int, dead_letters="dead", name="first")(take)
    with pytest.raises(ReadTwice, match=r"agent 'second' reads orders, and so does another one"):
        app.batches("orders", "returns", value_type=int, dead_letters="dead", name="second")(take)
    folder.close()
