"""What a commit knows of the records that Faust sent."""

import asyncio

from confluent_kafka import KafkaError

from streams.runtime.outstanding import DeliveryFailure, Outstanding
from streams.runtime.sending import failure_of


def failure(code: int) -> DeliveryFailure:
    return DeliveryFailure.of("out", failure_of(KafkaError(code), "out"))


AWAY = failure(KafkaError.TOPIC_AUTHORIZATION_FAILED)
TOO_LARGE = failure(KafkaError.MSG_SIZE_TOO_LARGE)


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


async def test_a_flush_waits_for_what_was_sent_before_it_and_for_nothing_else() -> None:
    outstanding = Outstanding()
    before = [outstanding.sent() for _ in range(3)]
    outstanding.seal()
    after = outstanding.sent()
    waiting = asyncio.create_task(outstanding.settled())
    for left in (2, 1):
        outstanding.reported(before[left])
        await asyncio.sleep(0)  # lets it see that
        assert (waiting.done(), outstanding.unsettled) == (False, left)
    outstanding.reported(before[0])
    await waiting
    assert outstanding.unsettled == 0
    outstanding.reported(after)


async def test_a_flush_waits_for_what_an_earlier_one_did_not_wait_long_enough_for() -> None:
    outstanding = Outstanding()
    first = outstanding.sent()
    outstanding.seal()
    second = outstanding.sent()
    outstanding.seal()
    outstanding.reported(second)
    assert outstanding.unsettled == 1
    outstanding.reported(first)
    await outstanding.settled()


async def test_a_flush_of_nothing_is_done_at_once() -> None:
    outstanding = Outstanding()
    outstanding.seal()
    await outstanding.settled()
    assert outstanding.unsettled == 0


def test_work_that_failed_is_done_again_after_pauses_that_grow() -> None:
    clock = Clock()
    outstanding = Outstanding(clock)
    pauses: list[float] = []
    for _ in range(9):
        outstanding.failed(AWAY)
        begun = clock.seconds
        while not outstanding.due:
            clock.seconds += 1
        pauses.append(clock.seconds - begun)
        outstanding.begin_again()
        assert outstanding.failure is None
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    clock.seconds += 1_000
    outstanding.failed(AWAY)
    clock.seconds += 1
    assert outstanding.due


def test_what_can_never_be_delivered_is_not_done_again_and_is_what_is_told() -> None:
    clock = Clock()
    outstanding = Outstanding(clock)
    outstanding.failed(AWAY)
    outstanding.failed(TOO_LARGE)
    outstanding.failed(AWAY)
    clock.seconds += 1_000
    assert not outstanding.due
    assert outstanding.failure is TOO_LARGE
    assert outstanding.failures == 3


def test_a_failure_names_the_topic_and_what_to_do() -> None:
    assert "out" in TOO_LARGE.message
    assert "max.message.bytes" in TOO_LARGE.message
    assert "grant WRITE" in AWAY.message
