"""Write live state."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import structlog
from msgspec import json, msgpack, structs

from connectors.sinks.contract import APPLIED, SUPERSEDED, Held, Limits, Outcome, Rejected, Retry
from connectors.sinks.errors import Fatal
from connectors.sinks.persons import Purge, delete_of
from connectors.sinks.redis.errors import OPTION, interpreted, meaning, of_some_slots
from connectors.sinks.redis.files import rewrite_files
from connectors.sinks.redis.keys import Names, Unfit, arguments, check_names, position
from connectors.sinks.redis.options import RedisOptions
from connectors.sinks.redis.pipeline import Job, ScriptName
from connectors.sinks.redis.server import Server, connect
from connectors.sinks.undo import emptied
from schemas.persons import live_person
from schemas.writes import CacheWrite

log = structlog.get_logger(__name__)

T = TypeVar("T")

_OLDEST = (6, 0)
_AT_ONCE = 200  # writes of one script: nobody else is served while it runs, some 2 ms
_POSITIONS_AT_ONCE = 1_000  # what Lua passes on at once has a limit of some thousand
_WALKED_AT_ONCE = 1_000
_HOUR_MS = 3_600_000


_Position = tuple[str | int, ...]  # what `positions.lua` is told of a write


class _Told(NamedTuple):
    """A script that was sent, and the places of the writes in it."""

    script: ScriptName
    places: Sequence[int]


class RedisSink:
    """Values in Redis, with their versions beside them.

    A batch is a row of scripts, each of which compares and applies up to 200 writes in one atomic step, while the next
    one is made. The geo index follows them with versions of its own; it may be behind the values for that long.
    """

    # Live state is looked at while it changes. Of two sinks one makes requests while the other waits for the server.
    limits = Limits(linger_ms=5, requests=2)

    def __init__(self, options: RedisOptions) -> None:
        self._options = options
        self._names = Names(options.prefix)
        self._server: Server | None = None

    def open(self) -> None:
        """Connect, see that the server can do what we need, and run a script on nothing.

        Raises:
            Unavailable: the server does not answer.
            Fatal: address, login or permissions are wrong, or the server is a replica or too old; names the option.
        """
        self.close()
        with interpreted():
            self._server = connect(self._options)
            about = self._server.information()
            [answer] = self._server.run([Job("write", (), ("", "0", msgpack.encode([])))])
            if isinstance(answer, Exception):
                raise meaning(answer)
        version = tuple(int(part) for part in str(about["redis_version"]).split(".")[:2])
        if version < _OLDEST:
            raise Fatal(f"Redis is {about['redis_version']}; 6.0 or newer is needed")
        if about.get("role") == "slave":
            raise Fatal(f"`{OPTION}.url` is a replica; name the primary, or its sentinels")
        if str(about.get("maxmemory_policy", "")).startswith("allkeys"):
            log.warning(
                "eviction_may_take_versions", policy=about["maxmemory_policy"], fix="noeviction or volatile-ttl"
            )

    def write(self, batch: Sequence[CacheWrite]) -> list[Outcome]:
        """Apply a batch; see the contract."""
        server = self._opened()
        outcomes: list[Outcome] = [APPLIED] * len(batch)
        fitting: list[int] = []
        for place, write in enumerate(batch):
            try:
                check_names(write, one_slot=server.one_slot)
            except Unfit as error:
                outcomes[place] = Rejected(str(error))
            else:
                fitting.append(place)
        groups = _grouped(fitting, lambda place: server.slot(self._names.versions(batch[place].entity)))
        told: list[_Told] = []
        with interpreted():
            answers = server.run(self._jobs(batch, groups, outcomes, told)) if fitting else []
        for (script, places), answer in zip(told, answers, strict=True):
            # Where positions failed, all of them again: their values are superseded by then, which is success, and the
            # index complete.
            if script == "write" or isinstance(answer, Exception):
                for place, outcome in zip(places, _outcomes(answer, len(places)), strict=True):
                    outcomes[place] = outcome
        return outcomes

    def held(self, entities: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Held]:
        """Return what the server holds. A value that has expired counts as deleted."""
        server = self._opened()
        groups = list(_grouped(entities, lambda one: server.slot(self._names.versions(one[0]))))
        jobs = [
            Job(
                "held",
                [key for entity, _ in group for key in self._home(entity)],
                [source for _, source in group],
            )
            for group in groups
        ]
        with interpreted():
            answers = server.run(jobs) if jobs else []
        held: dict[tuple[str, str], Held] = {}
        for group, answer in zip(groups, answers, strict=True):
            if isinstance(answer, Exception):
                raise meaning(answer)
            for key, mark, there in zip(group, answer[::2], answer[1::2], strict=True):
                if mark is not None:
                    held[key] = Held(version=int(mark[:-1]), deleted=mark[-1:] == b"-", copies=int(there))
        return held

    def of_user(self, user: str) -> list[CacheWrite]:
        """Return the values of a person; see `connectors.sinks.persons.Attributing`. All keys are looked through."""
        found = self._lines(self._names.versions_of_user(user))
        keys = {line: key for line, key in found.items() if user in live_person(line[0])}
        return [
            delete_of(CacheWrite, *line, one.version, key=keys[line])
            for line, one in self.held(list(keys)).items()
            if one.copies
        ]

    def purge(self) -> Purge:
        """Have all primaries write their files anew; see `connectors.sinks.persons.Purging`. Each forks for that."""
        server = self._opened()
        with interpreted():
            return rewrite_files(server.primaries())

    def walk(self) -> Iterator[CacheWrite]:
        """Yield the values that are there; see `connectors.sinks.contract.Walking`.

        All keys are looked through, and what is known of their versions is in memory at once. A value without versions
        is not one of ours: no write has made it.
        """
        keys = self._lines(self._names.all_versions)
        told: set[str] = set()
        for lines in _parts(list(keys), _WALKED_AT_ONCE):
            for line, one in self.held(lines).items():
                if one.copies and line[0] not in told:
                    told.add(line[0])
                    yield delete_of(CacheWrite, *line, one.version, key=keys[line])

    def before(self, writes: Sequence[CacheWrite]) -> list[CacheWrite | None]:
        """Return what would undo writes; see `connectors.sinks.contract.Undoing`.

        A value comes back with what was left of its time when this was asked, in whole seconds, rounded up.
        """
        server = self._opened()
        undos: list[CacheWrite | None] = [None] * len(writes)
        fitting = list(self._fitting(writes, server))
        groups = list(_grouped(fitting, lambda place: server.slot(self._names.versions(writes[place].entity))))
        jobs = [
            Job(
                "before",
                [key for place in group for key in self._home(writes[place].entity)],
                [writes[place].source for place in group],
            )
            for group in groups
        ]
        with interpreted():
            answers = server.run(jobs) if jobs else []
        for group, answer in zip(groups, answers, strict=True):
            if isinstance(answer, Exception):
                raise meaning(answer)
            for place, *found in zip(group, answer[::4], answer[1::4], answer[2::4], answer[3::4], strict=True):
                undos[place] = self._undo(writes[place], *found)
        return undos

    def close(self) -> None:
        """Close the connections; may be called twice."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def _opened(self) -> Server:
        if self._server is None:
            self.open()
        assert self._server is not None
        return self._server

    def _home(self, entity: str) -> tuple[str, str]:
        """Return where the versions of an entity lie, and its value unless it was written under another key."""
        return self._names.versions(entity), self._names.value(entity)

    def _lines(self, pattern: str) -> dict[tuple[str, str], str]:
        """Return the (entity, source) of all versions whose keys fit a pattern, and under which key the value lies."""
        with interpreted():
            hashes = self._opened().hashes(pattern)
        keys: dict[tuple[str, str], str] = {}
        for name, marks in hashes.items():
            entity = self._names.entity(name)
            key = self._names.key(marks[b""].decode()) if b"" in marks else entity
            keys |= {(entity, source.decode()): key for source in marks if source}
        return keys

    def _fitting(self, writes: Sequence[CacheWrite], server: Server) -> Iterator[int]:
        """Yield the places of the writes that will not be rejected for their names."""
        for place, write in enumerate(writes):
            with suppress(Unfit):
                check_names(write, one_slot=server.one_slot)
                yield place

    def _undo(
        self, write: CacheWrite, mark: bytes | None, place: bytes | None, value: bytes | None, left: int
    ) -> CacheWrite | None:
        version = 0 if mark is None else int(mark[:19])
        if place is None or (mark is not None and version >= write.version):
            return None
        if value is None:
            return emptied(write)
        return structs.replace(
            write,
            key=self._names.key(place.decode()),
            value=json.decode(value),
            ttl_seconds=None if left < 0 else max(1, math.ceil(left / 1_000)),
            op="upsert",
            version=version,
            undo=False,
        )

    def _jobs(
        self,
        batch: Sequence[CacheWrite],
        groups: Iterable[Sequence[int]],
        outcomes: list[Outcome],
        told: list[_Told],
    ) -> Iterator[Job]:
        """Yield the scripts of groups of writes, values first; note them, and refuse the writes that cannot be said."""
        value, versions, positions = self._names.value, self._names.versions, self._options.positions
        channels = self._names.channels if self._options.publish else ""
        keep = str(self._options.versions_hours * _HOUR_MS)
        placed: list[tuple[int, _Position]] = []
        for group in groups:
            fitting: list[int] = []
            keys: list[str] = []
            words: list[str] = []
            for place in group:
                write = batch[place]
                try:
                    words += arguments(write)
                except Unfit as error:
                    outcomes[place] = Rejected(str(error))
                    continue
                words.append("" if write.key == write.entity else value(write.entity))
                keys += (versions(write.entity), value(write.key))
                fitting.append(place)
                where = position(write, positions)
                if where is not None:
                    placed.append((place, where))
            told.append(_Told("write", fitting))
            yield Job("write", keys, (channels, keep, msgpack.encode(words)))
        for some in _rounds(placed):
            told.append(_Told("positions", [place for place, _ in some]))
            positions_told = json.encode([word for _, said in some for word in said])
            yield Job("positions", self._names.positions, (keep, positions_told))


def _outcomes(answer: Any, count: int) -> Sequence[Outcome]:
    """Return the outcomes of one script's writes.

    Raises:
        SinkError: the script was refused as a whole, and not only since its slots are moving.
    """
    if of_some_slots(answer):
        return [Retry(f"the cluster is moving or missing slots: {type(answer).__name__}")] * count
    if isinstance(answer, Exception):
        raise meaning(answer)
    letters, *errors = answer
    reasons = iter(errors)
    found: list[Outcome] = []
    for letter in letters.decode():
        if letter == "e":
            found.append(Rejected(f"`entity`: {next(reasons).decode()}"))
        else:
            found.append(APPLIED if letter == "a" else SUPERSEDED)
    return found


def _grouped(items: Sequence[T], slot: Callable[[T], int]) -> Iterator[Sequence[T]]:
    """Yield items in groups of one slot, none too large, in order within a slot."""
    groups: defaultdict[int, list[T]] = defaultdict(list)
    for item in items:
        groups[slot(item)].append(item)
    for group in groups.values():
        yield from _parts(group, _AT_ONCE)


def _parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _rounds(placed: Sequence[tuple[int, _Position]]) -> Iterator[Sequence[tuple[int, _Position]]]:
    """Yield positions in rounds that have each member once, none too large, in order for a member."""
    while placed:
        rounds: dict[str | int, tuple[int, _Position]] = {}
        later: list[tuple[int, _Position]] = []
        for one in placed:
            member = one[1][0]
            if member in rounds:
                later.append(one)
            else:
                rounds[member] = one
        yield from _parts(list(rounds.values()), _POSITIONS_AT_ONCE)
        placed = later
