"""Which windows an event time belongs to, and when a window takes no more events. All times are ms since 1970."""

from datetime import timedelta

from msgspec import Struct

_MILLISECOND = timedelta(milliseconds=1)


class WindowTimes(Struct, frozen=True):
    """Windows of `size_ms` that begin at every multiple of `step_ms`: tumbling when both are the same, else hopping."""

    size_ms: int
    step_ms: int
    lateness_ms: int

    @classmethod
    def of(cls, size: timedelta, step: timedelta | None, lateness: timedelta) -> "WindowTimes":
        """Check and convert what a user gave.

        Raises:
            ValueError: says which of the three is wrong.
        """
        size_ms, lateness_ms = size // _MILLISECOND, lateness // _MILLISECOND
        step_ms = size_ms if step is None else step // _MILLISECOND
        if step_ms < 1:
            raise ValueError(
                f"`{'size' if step is None else 'step'}` of a window must be 1 ms or more, got {step or size}"
            )
        if size_ms < step_ms or size_ms % step_ms:
            raise ValueError(
                f"`size` must be a multiple of `step`, so that windows overlap evenly: got {size} and {step}"
            )
        if lateness_ms < 0:
            raise ValueError(f"`lateness` must not be negative, got {lateness}")
        return cls(size_ms, step_ms, lateness_ms)

    def starts(self, time_ms: int) -> range:
        """Return the starts of the windows with `start <= time_ms < start + size_ms`, ascending."""
        last = time_ms // self.step_ms * self.step_ms
        return range(last - self.size_ms + self.step_ms, last + 1, self.step_ms)

    def open_from(self, watermark_ms: int) -> int:
        """Return the start of the first window that takes events at a watermark; all before it are closed.

        A window is closed when the watermark is `lateness_ms` past its end.
        """
        return (watermark_ms - self.size_ms - self.lateness_ms) // self.step_ms * self.step_ms + self.step_ms
