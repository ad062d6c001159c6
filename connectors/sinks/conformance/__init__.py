"""The behaviours that every sink must show, as tests to be run against it. Needs pytest and hypothesis.

A sink's author says how to make the sink, a good write and a bad one, and how to read an entity back::

    class TestMySink(SinkConformance[SearchWrite]):
        def sink(self, place):
            return MySink(place)

        def good(self, entity, version, source, content):
            return SearchWrite(**self.common(entity, version, source), name=str(content))

        def bad(self, entity, version, source):
            return SearchWrite(**self.common(entity, version, source), lat=10.0)

        def content(self, place, entity):
            document = MyClient(place).get(entity)
            return None if document is None else int(document["name"])

`place` is where the store is; a new folder by default. A sink of a server overrides the fixture `place` with one that
returns, say, the address of an empty database. Where the store can be filled up, has a login, or has connections, the
methods of `TroubleBehaviours` say how these go wrong.
"""

from typing import Generic, TypeVar

import pytest

pytest.register_assert_rewrite(
    *(f"{__name__}.{module}" for module in ("batches", "faults", "repair", "telling", "troubles", "undo", "versions"))
)

from connectors.sinks.conformance.batches import BatchBehaviours  # noqa: E402 - after the line that rewrites it
from connectors.sinks.conformance.faults import FaultBehaviours  # noqa: E402
from connectors.sinks.conformance.repair import RepairBehaviours  # noqa: E402
from connectors.sinks.conformance.telling import TellingBehaviours  # noqa: E402
from connectors.sinks.conformance.troubles import TroubleBehaviours  # noqa: E402
from connectors.sinks.conformance.undo import UndoBehaviours  # noqa: E402
from connectors.sinks.conformance.versions import VersionBehaviours  # noqa: E402
from schemas.writes import BaseWrite  # noqa: E402

W = TypeVar("W", bound=BaseWrite)

__all__ = ["SinkConformance"]


class SinkConformance(
    VersionBehaviours[W],
    BatchBehaviours[W],
    FaultBehaviours[W],
    TroubleBehaviours[W],
    RepairBehaviours[W],
    TellingBehaviours[W],
    UndoBehaviours[W],
    Generic[W],
):
    """All behaviours."""
