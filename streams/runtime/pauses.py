"""Topics of which nothing more is fetched for now, because somebody asked for it."""

from collections.abc import Iterable


class Pauses:
    """Why topics are paused. A topic is read again when the last reason is gone; what was delivered stays delivered.

    Used from the event loop only. A kind of reason ("breaker") is the label of a metric, so there are few; the words
    tell people more.
    """

    def __init__(self) -> None:
        self._why: dict[str, dict[str, str]] = {}

    @property
    def some(self) -> bool:
        """Whether any topic is paused."""
        return bool(self._why)

    def pause(self, topics: Iterable[str], kind: str, why: str) -> None:
        """Fetch no more of these topics until `resume` is called with the same kind."""
        for topic in topics:
            self._why.setdefault(topic, {})[kind] = why

    def resume(self, topics: Iterable[str], kind: str) -> None:
        """Take back one kind of reason; harmless when it is not there."""
        for topic in topics:
            reasons = self._why.get(topic)
            if reasons is not None and reasons.pop(kind, None) is not None and not reasons:
                del self._why[topic]

    def kinds(self, topic: str) -> list[str]:
        """Return the kinds of reasons for which a topic is paused; none when it is not."""
        return list(self._why.get(topic, ()))

    def reason(self, topic: str) -> str | None:
        """Return why a topic is paused; None when it is not."""
        reasons = self._why.get(topic)
        return None if reasons is None else "; ".join(reasons.values())
