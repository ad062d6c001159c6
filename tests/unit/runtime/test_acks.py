"""How the streams of Faust tell that a message is done with."""

from collections import defaultdict, deque
from typing import Any

from streams.runtime.acks import InWork, KeepsNothing


class Message:
    """Something that can be referred to weakly."""


def test_taking_a_message_out_tells_whoever_takes_it_out() -> None:
    told: list[Any] = []
    work, message = InWork(told.append), Message()
    work.add(message)
    assert message in work
    assert told == []
    work.discard(message)
    assert message not in work
    assert told == [message]


def test_a_message_that_was_never_begun_is_told_too_and_the_receiver_decides() -> None:
    told: list[Any] = []
    message = Message()
    InWork(told.append).discard(message)
    assert told == [message]


def test_messages_that_nobody_holds_any_more_vanish() -> None:
    work = InWork(lambda _: None)
    work.add(Message())
    assert len(work) == 0


def test_fausts_own_books_stay_empty() -> None:
    index: defaultdict[int, set[int]] = defaultdict(KeepsNothing)
    acked: defaultdict[int, deque[int]] = defaultdict(lambda: deque(maxlen=0))
    for offset in range(100):
        index[0].add(offset)
        acked[0].append(offset)
    assert len(index[0]) == len(acked[0]) == 0
