# pyright: reportUnknownMemberType=false
"""How scripts reach a server: each as soon as it is made, and none is left over for the next ones."""

from collections.abc import Iterator
from time import monotonic
from typing import Any
from uuid import uuid4

import pytest
import redis
from msgspec import msgpack
from redis import exceptions

from connectors.sinks.redis.pipeline import Job, run
from deploy.local.redis import RedisServer

pytestmark = pytest.mark.integration

PATIENCE = 30.0


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Any]:
    with redis.Redis.from_url(redis_server.url, protocol=2) as client:
        yield client


def setting(key: str) -> Job:
    told = [key, "s", f"{1:019d}", f"{0:019d}", "u", "", "1", ""]
    return Job("write", (f"{key}:versions", key), ("", "0", msgpack.encode(told)))


def test_a_script_runs_while_the_next_one_is_made(client: Any) -> None:
    first, second = uuid4().hex, uuid4().hex
    run(client, [setting(uuid4().hex)])  # the server has the script from here on

    def jobs() -> Iterator[Job]:
        yield setting(first)
        until = monotonic() + PATIENCE
        while client.get(first) is None:
            assert monotonic() < until, "the first script waits for the second one"
        yield setting(second)

    assert run(client, jobs()) == [[b"a"], [b"a"]]
    assert client.get(second) == b"1"


def test_scripts_that_the_server_has_forgotten_are_given_to_it(client: Any) -> None:
    keys = [uuid4().hex for _ in range(3)]
    client.script_flush()
    assert run(client, map(setting, keys)) == [[b"a"]] * 3
    assert [client.get(key) for key in keys] == [b"1"] * 3


def test_answers_to_jobs_that_were_broken_off_are_not_those_of_the_next_ones(redis_server: RedisServer) -> None:
    client: Any = redis.Redis.from_url(redis_server.url, protocol=2, max_connections=1)  # a lost one would be missed
    old, new = uuid4().hex, uuid4().hex
    run(client, [setting(old)])

    def jobs() -> Iterator[Job]:
        yield setting(old)  # is superseded now
        raise KeyError("the second one cannot be made")

    with pytest.raises(KeyError):
        run(client, jobs())
    assert run(client, [setting(new)]) == [[b"a"]]
    client.close()


def test_a_job_that_is_refused_has_the_error_as_its_answer_and_the_others_have_theirs(client: Any) -> None:
    one, other = uuid4().hex, uuid4().hex
    found = run(client, [setting(one), Job("write", (), ("", "0", b"\xc1")), setting(other)])
    assert isinstance(found[1], exceptions.ResponseError)
    assert [found[0], found[2]] == [[b"a"]] * 2
