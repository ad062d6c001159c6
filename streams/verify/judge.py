"""Compare what a store holds of one entity with what its writes say. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from connectors.sinks.content import comparable
from connectors.sinks.contract import Held
from schemas.writes import BaseWrite, RelationalWrite, StoreName, WarehouseWrite
from streams.conflicts.canonical import digest
from streams.verify.lines import Finding, Kind, Line


def judge(
    store: StoreName,
    lines: Sequence[Line],
    held: Mapping[tuple[str, str], Held],
    found: BaseWrite | None,
    *,
    now_ms: int,
    tells: bool = False,
) -> list[Finding]:
    """Return what is wrong with one entity.

    Versions are compared source by source. What several sources say about one entity holds in the order it arrived at
    the store, which the topics do not tell: then it may be there or not if one of them deleted it, and its content has
    to be what one of them said.

    Args:
        store: which one.
        lines: of the entity, at least one. Rows of history are entities of one source each.
        held: what the store says of them.
        found: what it holds: an upsert, or a delete for nothing; None: it cannot tell.
        now_ms: the time, for what expires.
        tells: whether the store tells contents; then it cannot tell of what is not what it takes it for.
    """
    findings = [
        finding
        for line in lines
        if (finding := _version(store, line, held.get((line.entity, line.source)), now_ms)) is not None
    ]
    if findings:
        return findings
    copies = max((known.copies for line in lines if (known := held.get(_key(line))) is not None), default=0)
    written = [line for line in lines if not line.deleted]
    if copies > 1:
        return [_finding(store, lines[0], "different", held, f"it is there {copies} times")]
    if written:
        wrong = _content(written, bool(copies), found)
        if wrong is None and found is None and tells:
            wrong = "different", "what is there is not what the store takes it for"
        alone = len(lines) == 1
        if wrong is None or (wrong[0] == "missing" and any(_may_lack(one, held, now_ms, alone) for one in lines)):
            return []
        return [_finding(store, written[0], wrong[0], held, wrong[1])]
    if copies or (found is not None and found.op == "upsert"):
        return [_finding(store, lines[0], "extra", held, "it was deleted and is there")]
    return []


def unreadable(store: StoreName, line: Line) -> Finding:
    """Return what is said of an entity whose content cannot be read."""
    return _finding(store, line, "different", {}, "its content cannot be read")


def _content(written: Sequence[Line], there: bool, found: BaseWrite | None) -> tuple[Kind, str] | None:
    """Return what is wrong with the content of an entity; it has to be what one of its upserts said."""
    if not there or (found is not None and found.op == "delete"):
        return "missing", "its version is known and its content is not there"
    if found is None:
        return None
    if isinstance(found, WarehouseWrite) and found.version != written[0].version:
        return "different", f"its row says version {found.version}"
    differences = [_difference(line, found) for line in written]
    return None if None in differences else ("different", differences[0] or "")


def _version(store: StoreName, line: Line, held: Held | None, now_ms: int) -> Finding | None:
    if held is None:
        # Live state may be forgotten with its versions, and a delete of it, too.
        if _expired(line, now_ms) or (store == "cache" and line.deleted):
            return None
        detail = "the delete is not known" if line.deleted else "it is not there"
        return _finding(store, line, "missing", {}, detail)
    known = {_key(line): held}
    if held.version < line.version:
        return _finding(store, line, "stale", known, f"version {held.version} is there")
    if held.version > line.version:
        return _finding(store, line, "different", known, f"version {held.version} is there, which nobody has written")
    if line.deleted and not held.deleted and not held.copies:
        return _finding(store, line, "different", known, "it was deleted, and the store takes it for written")
    return None


def _may_lack(line: Line, held: Mapping[tuple[str, str], Held], now_ms: int, alone: bool) -> bool:
    """Whether a store may rightly hold nothing although a line of its entity is an upsert."""
    known = held.get(_key(line))
    marked = known is not None and known.deleted
    return _expired(line, now_ms) or (line.deleted and not alone) or (marked and (line.may_be_gone or not alone))


def _expired(line: Line, now_ms: int) -> bool:
    return line.gone_at_ms is not None and line.gone_at_ms <= now_ms


def _difference(line: Line, found: BaseWrite) -> str | None:
    """Return in what the content differs from what a line says; None: in nothing."""
    if isinstance(found, RelationalWrite):
        return ", ".join(_columns(line, found)) or None
    return None if digest(comparable(found)) == line.digest else "its content is another one"


def _columns(line: Line, found: RelationalWrite) -> Iterator[str]:
    content = comparable(found)["columns"]
    for name, column in sorted(line.columns.items()):
        if digest({name: content.get(name)}) != column.digest:
            yield f"its column {name} is another one"


def _key(line: Line) -> tuple[str, str]:
    return (line.entity, line.source)


def _finding(store: StoreName, line: Line, kind: Kind, held: Mapping[tuple[str, str], Held], detail: str) -> Finding:
    known = held.get(_key(line))
    return Finding(
        store=store,
        entity=line.entity,
        source=line.source,
        kind=kind,
        expected=None if kind == "extra" else line.version,
        found=None if known is None else known.version,
        detail=detail,
    )
