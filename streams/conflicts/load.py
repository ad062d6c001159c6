"""The rules that the options name."""

from collections.abc import Mapping, Sequence

from streams.conflicts.rules import Rule, Rules
from streams.conflicts.strategies import (
    Strategy,
    highest_confidence,
    last_write_wins,
    manual,
    merge,
    regional_priority,
    rollback,
)
from streams.settings.conflicts import Conflicts, EntityType

_PLAIN: Mapping[str, Strategy] = {
    "last_write_wins": last_write_wins,
    "highest_confidence": highest_confidence,
    "manual": manual,
    "rollback": rollback,
}


def rules_of(options: Conflicts) -> Rules | None:
    """Return how types are settled; None when none is."""
    if not options.enabled:
        return None
    return Rules(
        types={name: _rule(one) for name, one in options.types if one.strategy != "none"},
        window_ms=int(options.window_seconds * 1_000),
        confidences={source: float(value) for source, value in _pairs(options.confidences).items()},
        regions=_pairs(options.regions),
    )


def _rule(options: EntityType) -> Rule:
    match options.strategy:
        case "merge":
            settle = merge(options.sets)
        case "regional_priority":
            settle = regional_priority(options.priority)
        case other:
            settle = _PLAIN[other]
    by_member = options.strategy == "merge"
    return Rule(strategy=options.strategy, settle=settle, ignored=frozenset(options.ignored), by_member=by_member)


def _pairs(texts: Sequence[str]) -> dict[str, str]:
    return dict(text.split("=", 1) for text in texts)
