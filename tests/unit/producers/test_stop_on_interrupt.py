import signal
from collections.abc import Iterator

import pytest

from streams.cli.interrupt import StopOnInterrupt


def test_an_interrupt_between_two_items_ends_the_reading_without_an_exception() -> None:
    taken: list[int] = []
    with StopOnInterrupt() as interrupt:
        for item in interrupt.until_stopped(range(10)):
            taken.append(item)
            if item == 3:
                signal.raise_signal(signal.SIGINT)
    assert taken == [0, 1, 2, 3]
    assert interrupt.stopped


def test_an_interrupt_while_input_is_awaited_ends_the_wait() -> None:
    def waiting() -> Iterator[int]:
        yield 1
        signal.raise_signal(signal.SIGINT)  # as if it came while a terminal is read
        pytest.fail("the wait went on")

    with StopOnInterrupt() as interrupt:
        assert list(interrupt.until_stopped(waiting())) == [1]
    assert interrupt.stopped


def test_a_second_interrupt_is_raised() -> None:
    with StopOnInterrupt():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_without_an_interrupt_everything_is_read_and_the_old_handler_is_back_afterwards() -> None:
    before = signal.getsignal(signal.SIGINT)
    with StopOnInterrupt() as interrupt:
        assert list(interrupt.until_stopped(range(3))) == [0, 1, 2]
    assert not interrupt.stopped
    assert signal.getsignal(signal.SIGINT) is before
