"""When a store is called: the clock is a stand-in, the waiting is real."""

import asyncio

import pytest

from streams.delivery.breaker import DeliveryPolicy
from streams.delivery.gate import Gate
from streams.delivery.token_bucket import TokenBucket

POLICY = DeliveryPolicy(first_pause=0.0, longest_pause=0.0, breaker_failures=3, breaker_pause=60)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def entering(gate: Gate, writes: int = 1) -> asyncio.Task[float]:
    """Begin to enter, and give it the time to succeed."""
    task = asyncio.create_task(gate.enter(writes))
    for _ in range(10):
        await asyncio.sleep(0)
    return task


async def opened(gate: Gate, clock: Clock) -> None:
    for _ in range(3):
        gate.failed(await gate.enter(1))
        clock.now += 0.001


async def test_a_closed_gate_lets_everybody_in_at_once(clock: Clock) -> None:
    gate = Gate(POLICY, None, clock)
    assert [(await entering(gate)).done() for _ in range(3)] == [True] * 3
    assert (gate.state, gate.held, gate.most) == ("closed", False, None)


async def test_after_a_row_of_failures_nobody_is_let_in_and_then_one_whose_call_decides(clock: Clock) -> None:
    gate = Gate(POLICY, None, clock)
    await opened(gate, clock)
    assert (gate.state, gate.held) == ("open", True)
    waiting = [await entering(gate) for _ in range(3)]
    assert not any(task.done() for task in waiting)
    clock.now += 60
    assert gate.state == "half-open"
    waiting += [await entering(gate)]  # whoever comes when the time has passed
    for _ in range(10):
        await asyncio.sleep(0)
    assert [task.done() for task in waiting].count(True) == 1
    gate.succeeded()
    await asyncio.gather(*waiting)
    assert gate.state == "closed"


async def test_when_the_deciding_call_fails_everybody_waits_again(clock: Clock) -> None:
    gate = Gate(POLICY, None, clock)
    await opened(gate, clock)
    clock.now += 60
    entered = await gate.enter(1)
    other = await entering(gate)
    clock.now += 1
    assert gate.failed(entered) == 60
    assert gate.state == "open"
    for _ in range(10):
        await asyncio.sleep(0)
    assert not other.done()
    other.cancel()


async def test_whoever_does_not_call_after_all_leaves_the_decision_to_the_next(clock: Clock) -> None:
    gate = Gate(POLICY, None, clock)
    await opened(gate, clock)
    clock.now += 60
    await gate.enter(1)
    other = await entering(gate)
    assert not other.done()
    gate.unused()
    await asyncio.wait_for(other, 1)


async def test_calls_that_were_under_way_together_are_one_failure(clock: Clock) -> None:
    gate = Gate(POLICY, None, clock)
    entered = [await gate.enter(1) for _ in range(8)]
    clock.now += 1
    for one in entered:
        gate.failed(one)
    assert gate.failures == 1
    assert gate.state == "closed"


async def test_what_the_store_asked_for_is_the_least_pause(clock: Clock) -> None:
    gate = Gate(POLICY, None, clock)
    assert gate.failed(await gate.enter(1), 7.5) >= 7.5
    assert not (await entering(gate)).done()


async def test_a_paused_gate_lets_nobody_in_until_it_is_resumed(clock: Clock) -> None:
    gate = Gate(POLICY, None, clock)
    gate.pause()
    assert gate.held
    waiting = await entering(gate)
    clock.now += 10_000
    await asyncio.sleep(0)
    assert not waiting.done()
    gate.resume()
    await asyncio.wait_for(waiting, 1)


async def test_no_more_is_let_in_than_the_rate_and_the_waiting_is_counted() -> None:
    loop = asyncio.get_running_loop()
    throttled: list[float] = []
    gate = Gate(POLICY, TokenBucket(1_000, 0.01, loop.time()), loop.time, throttled=throttled.append)
    assert gate.most == 10
    began, sent = loop.time(), 0
    while loop.time() - began < 0.2:
        await gate.enter(10)
        gate.spend(10)
        gate.succeeded()
        sent += 10
    assert sent <= 10 + 1_000 * (loop.time() - began)
    assert sum(throttled) > 0.1


async def test_every_change_of_what_is_let_in_is_told(clock: Clock) -> None:
    states: list[str] = []
    gate = Gate(POLICY, None, clock, changed=lambda: states.append(gate.state))
    await opened(gate, clock)
    clock.now += 60
    await gate.enter(1)
    gate.succeeded()
    assert states == ["closed", "closed", "open", "closed"]
