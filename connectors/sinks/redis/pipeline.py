# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Run scripts one after the other over one connection, each sent as soon as it is made.

A pipeline of redis-py is sent when it is whole, so server and client take turns: neither had anything to do for half of
the time. Its way to say a command, argument by argument, was a third of what a write costs the client.
"""

import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from msgspec import Struct
from redis import Redis, exceptions

ScriptName = Literal["write", "held", "before", "positions"]


class Job(Struct, frozen=True):
    """One call of a script. All its keys lie in one slot."""

    script: ScriptName
    keys: Sequence[str]
    arguments: Sequence[str | bytes]


def run(client: Redis, jobs: Iterable[Job]) -> list[Any]:
    """Run jobs in order, and return their answers; one that is refused by itself has the exception as its answer.

    Scripts that the server does not have yet are given to it, and their jobs run again.

    Raises:
        RedisError: the server does not answer, or not any more.
    """
    sent: list[Job] = []
    answers = _stream(client, jobs, sent)
    missing = [index for index, answer in enumerate(answers) if isinstance(answer, exceptions.NoScriptError)]
    if missing:
        for name in sorted({sent[index].script for index in missing}):
            client.script_load(_script(name)[0])
        for index, answer in zip(missing, _stream(client, [sent[index] for index in missing], []), strict=True):
            answers[index] = answer
    return answers


def command(job: Job) -> bytes:
    """Return the call of a script as the server reads it (https://redis.io/docs/latest/develop/reference/protocol-spec).

    Raises:
        UnicodeEncodeError: a key or an argument is not valid Unicode.
    """
    words = [b"EVALSHA", _script(job.script)[1], b"%d" % len(job.keys), *[key.encode() for key in job.keys]]
    words += [one if isinstance(one, bytes) else one.encode() for one in job.arguments]
    return b"*%d\r\n%b" % (len(words), b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words]))


def _stream(client: Redis, jobs: Iterable[Job], sent: list[Job]) -> list[Any]:
    """Send jobs as they come, noting each, and then read all answers: the server keeps them, which are small."""
    connection = client.connection_pool.get_connection()
    try:
        for job in jobs:
            connection.send_packed_command([command(job)])
            sent.append(job)
        return [_answer(connection) for _ in sent]
    except BaseException:
        connection.disconnect()  # or answers that nobody has read would be those of the next jobs
        raise
    finally:
        client.connection_pool.release(connection)


def _answer(connection: Any) -> Any:
    try:
        return connection.read_response()
    except exceptions.ResponseError as error:
        return error


@cache
def _script(name: ScriptName) -> tuple[str, bytes]:
    """Return the text of a script and what Redis calls it."""
    text = files(__package__ or "").joinpath(f"{name}.lua").read_text("utf-8")
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest().encode()
