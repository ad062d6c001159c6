"""Whether a topic of writes, its receipts and a store add up, as sets. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping

from connectors.sinks.contract import Held
from schemas.receipts import Receipt
from schemas.writes import BaseWrite

TWICE = "was applied twice"  # the end of a problem that says so

Identity = tuple[str, str]  # entity, source


def newest(sent: Iterable[BaseWrite]) -> dict[Identity, BaseWrite]:
    """Return the last word on each entity, whatever order the writes come in."""
    found: dict[Identity, BaseWrite] = {}
    for write in sent:
        identity = (write.entity, write.source)
        if identity not in found or found[identity].version < write.version:
            found[identity] = write
    return found


def unaccounted(sent: Iterable[BaseWrite], receipts: Iterable[Receipt]) -> list[str]:
    """Return the writes that have no end, and those that took effect more than once."""
    ends = Counter((one.entity, one.version, one.result) for one in receipts)
    ended = {(entity, version) for entity, version, result in ends if result != "captured"}
    missing = sorted({(write.entity, write.version) for write in sent} - ended)
    twice = sorted((entity, version) for (entity, version, result), n in ends.items() if result == "applied" and n > 1)
    return [
        *(f"{entity} version {version} has no receipt" for entity, version in missing),
        *(f"{entity} version {version} {TWICE}" for entity, version in twice),
    ]


def differences(last: Mapping[Identity, BaseWrite], held: Mapping[Identity, Held]) -> list[str]:
    """Return where a store does not hold the last version of an entity, once, or nothing where that is a delete."""
    problems: list[str] = []
    for identity, write in last.items():
        deleted = write.op == "delete"
        expected = Held(version=write.version, deleted=deleted, copies=0 if deleted else 1)
        if held.get(identity) != expected:
            problems.append(f"{write.entity} is {held.get(identity)}, expected {expected}")
    return problems
