"""How a sink of Elasticsearch knows that it is the only source, without asking before each batch."""

from typing import Any, cast

import pytest
from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig
from elasticsearch import ConflictError, Elasticsearch, NotFoundError

from connectors.sinks.elasticsearch.register import KNOWN_SECONDS, WAIT_SECONDS, Register

META = ApiResponseMeta(404, "1.1", HttpHeaders(), 0.0, NodeConfig("http", "localhost", 9200))


class StandInClient:
    """Holds the one document, and what somebody else enters between two calls."""

    def __init__(self) -> None:
        self.sources: list[str] | None = None
        self.number = 0
        self.asked = 0
        self.meanwhile: list[str] = []

    def get(self, **_: Any) -> dict[str, Any]:
        self.asked += 1
        if self.sources is None:
            raise NotFoundError("not found", META, {"found": False})
        return {"_source": {"sources": self.sources}, "_seq_no": self.number, "_primary_term": 1}

    def index(self, *, document: dict[str, Any], if_seq_no: int | None = None, **_: Any) -> None:
        if self.meanwhile:
            self.sources, self.meanwhile = sorted({*(self.sources or ()), *self.meanwhile}), []
            self.number += 1
        if if_seq_no != (None if self.sources is None else self.number):
            raise ConflictError("conflict", META, {})
        self.sources = document["sources"]
        self.number += 1


class World:
    """A document, a clock, and those who look at both."""

    def __init__(self) -> None:
        self.client = StandInClient()
        self.time = 100.0

    def register(self) -> Register:
        return Register(cast(Elasticsearch, self.client), "alias", now=lambda: self.time, wait=self.wait)

    def wait(self, seconds: float) -> None:
        self.time += seconds


@pytest.fixture
def world() -> World:
    return World()


def test_an_only_source_is_asked_for_once_in_a_while_and_waits_for_nobody(world: World) -> None:
    register = world.register()
    for _ in range(10):
        assert register.entered({"a"}) == {"a"}
    assert world.client.asked == 1
    assert world.time == 100.0
    world.time += KNOWN_SECONDS
    assert register.entered({"a"}) == {"a"}
    assert world.client.asked == 2


def test_who_comes_second_writes_when_the_first_one_knows_of_it(world: World) -> None:
    first, second = world.register(), world.register()
    first.entered({"a"})
    entered_at = world.time
    assert second.entered({"b"}) == {"a", "b"}
    assert world.time >= entered_at + WAIT_SECONDS
    assert first.entered({"a"}) == {"a", "b"}


def test_so_does_who_finds_both_there_though_somebody_else_entered_them(world: World) -> None:
    first, third = world.register(), world.register()
    first.entered({"a"})
    world.client.sources = ["a", "b"]
    began = world.time
    assert third.entered({"b"}) == {"a", "b"}
    assert world.time >= began + WAIT_SECONDS


def test_where_there_are_several_they_are_asked_for_each_time_and_waited_for_once(world: World) -> None:
    register = world.register()
    assert register.entered({"a", "b"}) == {"a", "b"}
    waited, asked = world.time, world.client.asked
    assert register.entered({"a"}) == register.entered({"b"}) == {"a", "b"}
    assert world.client.asked == asked + 2
    assert world.time == waited


def test_all_that_enter_at_the_same_time_are_there(world: World) -> None:
    world.client.meanwhile = ["b"]
    assert world.register().entered({"a"}) == {"a", "b"}


def test_whoever_only_looks_is_told_what_holds_now(world: World) -> None:
    register = world.register()
    assert register.sources() == set()
    register.entered({"a"})
    world.client.sources = ["a", "b"]
    assert register.sources() == {"a", "b"}
