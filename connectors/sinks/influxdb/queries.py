"""What is asked of InfluxDB, as InfluxQL, and how its answers read. Pure.

InfluxQL and not Flux: on the same points it took a third of the time. What a question costs grows with the series it
touches (some 30 µs each), so it names them: each by itself while they are few, else by a pattern over one tag.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from operator import sub
from typing import Any

import msgspec
from msgspec import Struct

from connectors.sinks.influxdb.lines import CLAIM, CLAIMED_BY, DELETED, ENTITY, VERSION, Field, Point, Series
from connectors.sinks.influxdb.merge import Latest, State
from schemas.persons import USER_ID

SERIES_BY_NAME = 48  # as many statements; each is a pass over the shards
WINDOWS = 16
_VERSIONS = f"SELECT {ENTITY}, /^version\\./"
_NS = 1_000_000_000
# Their answers have the times of the first and of the last point of each measurement.
EDGES = [f"SELECT {edge}({ENTITY}) FROM /.*/" for edge in ("first", "last")]  # noqa: S608 - constants

Answer = list[tuple[str, dict[str, str], int, dict[str, Any]]]  # measurement, tags, time, fields
Times = Mapping[Series, Sequence[int]]  # of points


class _Series(Struct):
    name: str = ""
    tags: dict[str, str] = {}
    columns: list[str] = []
    values: list[list[Any]] = []


class _Result(Struct):
    series: list[_Series] = []
    error: str | None = None


class _Document(Struct):
    results: list[_Result] = []


class QuestionFailed(ValueError):  # noqa: N818
    """InfluxDB could not answer; the message is its own."""


_decoder = msgspec.json.Decoder(_Document)
_typed_decoder = msgspec.msgpack.Decoder(_Document)


def answer(document: bytes) -> Answer:
    """Return the rows of an answer in JSON, without fields that a row does not have.

    Raises:
        QuestionFailed: one of the statements failed, or this is no answer of InfluxDB.
    """
    return _rows(_series(document))


def typed_answer(document: bytes) -> Answer:
    """Return the rows of an answer in MessagePack, which tells 3.0 from 3, as `answer`."""
    return _rows(_series(document, _typed_decoder))


def _rows(found: Iterable[_Series]) -> Answer:
    rows: Answer = []
    for series in found:
        tags = {name: value for name, value in series.tags.items() if value}
        names = series.columns[1:]
        for time_ns, *values in series.values:
            fields = {name: value for name, value in zip(names, values, strict=True) if value is not None}
            rows.append((series.name, tags, time_ns, fields))
    return rows


def series_keys(document: bytes) -> list[str]:
    """Return the series that `SHOW SERIES` answers, as they stand in line protocol.

    Raises:
        QuestionFailed: as `answer`.
    """
    return [row[0] for series in _series(document) for row in series.values]


def is_ours(series: str) -> bool:
    """Return whether a series, as it stands in line protocol, is one of tombstones or of claims."""
    return series.startswith((DELETED, CLAIM))


def _series(
    document: bytes, decoder: msgspec.json.Decoder[_Document] | msgspec.msgpack.Decoder[_Document] = _decoder
) -> Iterator[_Series]:
    try:
        results = decoder.decode(document).results
    except msgspec.MsgspecError as error:
        raise QuestionFailed(f"no answer of InfluxDB: {error}") from error
    for result in results:
        if result.error is not None:
            raise QuestionFailed(result.error)
        yield from result.series


def times_of(points: Iterable[Point]) -> Times:
    """Return the times of points by their series."""
    times: defaultdict[Series, list[int]] = defaultdict(list)
    for measurement, tags, time_ns in points:
        times[Series(measurement, tags)].append(time_ns)
    return times


def present_at(times: Times) -> list[str]:
    """Return statements whose answers show which of these points, or their tombstones, are there; `points` reads them.

    One field for each series: half the price of `states_of`, and what is asked before every batch.
    """
    return _around(times, f"SELECT {ENTITY}", (DELETED,))


def newest_of(series: Iterable[Series]) -> list[str]:
    """Return statements whose answers show the last point and the last tombstone of series; `newest_times` reads them.

    Series that have more tags beside the same ones may be in the answers, too.
    """
    select = f"SELECT last({ENTITY})"
    measurements: defaultdict[str, list[Series]] = defaultdict(list)
    for one in series:
        measurements[one.measurement].append(one)
    statements: list[str] = []
    for measurement, several in measurements.items():
        source = ", ".join(_identifier(prefix + measurement) for prefix in ("", DELETED))
        if len(several) <= SERIES_BY_NAME:
            wheres = [_same(one) for one in several]
        else:
            wheres = [_widest(one.tags for one in several)]
        for where in wheres:
            said = f" WHERE {' AND '.join(where)}" if where else ""
            statements.append(f"{select} FROM {source}{said} GROUP BY *")
    return statements


def newest_times(rows: Answer) -> dict[Series, int]:
    """Return the newest time in the answers of each series."""
    newest: dict[Series, int] = {}
    for measurement, tags, time_ns in points(rows):
        series = Series(measurement, tags)
        newest[series] = max(time_ns, newest.get(series, time_ns))
    return newest


def claims(since: int | None) -> str:
    """Return the statement whose answer shows who wrote to the bucket last; `newest_claim` reads it.

    Args:
        since: a time that the newest claim is not before; None: nothing is known of it.
    """
    if since is None:
        return f'SELECT last({CLAIMED_BY}) AS {CLAIMED_BY} FROM "{CLAIM}"'  # noqa: S608 - constants
    return f'SELECT {CLAIMED_BY} FROM "{CLAIM}" WHERE time >= {since}'  # noqa: S608 - a number


def newest_claim(rows: Answer) -> tuple[int, str] | None:
    """Return time and writer of the newest claim; None where there is none."""
    found = [(time_ns, str(fields[CLAIMED_BY])) for measurement, _, time_ns, fields in rows if measurement == CLAIM]
    return max(found, default=None)


def states_of(points: Iterable[Point]) -> list[str]:
    """Return statements whose answers hold the versions at all of these points; `states` reads them."""
    return _around(times_of(points), _VERSIONS, (DELETED,))


def states_of_person(user: str) -> str:
    """Return the statement whose answer holds the versions at all points whose tags name a person."""
    return f"{_VERSIONS} FROM /.*/ WHERE {_identifier(USER_ID)} = {_string(user)} GROUP BY *"


def count_between(first: int, last: int) -> str:
    """Return the statement whose answer says how many points each measurement has between two times, ends included."""
    return f"SELECT count({ENTITY}) FROM /.*/ WHERE {_between(first, last)}"  # noqa: S608 - two numbers


def states_between(first: int, last: int) -> str:
    """Return the statement whose answer holds the versions at all points between two times, ends included."""
    return f"{_VERSIONS} FROM /.*/ WHERE {_between(first, last)} GROUP BY *"


def fields_of(points: Iterable[Point]) -> list[str]:
    """Return statements whose answers hold all fields of these points."""
    return _around(times_of(points), "SELECT *", ())


def points(rows: Answer) -> set[Point]:
    """Return the points of answers, tombstones under the name of what they stand for."""
    return {
        Point(measurement.removeprefix(DELETED), tuple(sorted(tags.items())), time_ns)
        for measurement, tags, time_ns, _ in rows
    }


def states(rows: Answer) -> dict[Point, State]:
    """Return what answers say of points."""
    found: dict[Point, State] = {}
    for measurement, tags, time_ns, fields in rows:
        versions = {name.removeprefix(VERSION): value for name, value in fields.items() if name.startswith(VERSION)}
        if not versions:
            continue
        point = Point(measurement.removeprefix(DELETED), tuple(sorted(tags.items())), time_ns)
        known = found.get(point, State())
        entity = known.entity or fields.get(ENTITY)
        if measurement.startswith(DELETED):
            buried = {source: _buried(version) for source, version in versions.items()}
            found[point] = State(entity, known.live, buried)
        else:
            found[point] = State(entity, versions, known.buried)
    return found


def _buried(version: int) -> Latest:
    return Latest(-1 - version, deleted=True) if version < 0 else Latest(version, deleted=False)


def fields(rows: Answer) -> dict[Point, dict[str, Field]]:
    """Return the fields that answers show, without our own."""
    return {
        Point(measurement, tuple(sorted(tags.items())), time_ns): {
            name: value for name, value in values.items() if name != ENTITY and not name.startswith(VERSION)
        }
        for measurement, tags, time_ns, values in rows
    }


def holding(entities: Sequence[str]) -> list[str]:
    """Return statements for everything that these entities are or were, wherever it lies.

    An entity that ends in its time, as those of the router do, is looked for at that time, which is fast; others in all
    of the bucket.
    """
    statements: list[str] = []
    dated: list[tuple[int, str]] = []
    undated: list[str] = []
    for entity in entities:
        time_ns = time_in(entity)
        if time_ns is None:
            undated.append(entity)
        else:
            dated.append((time_ns, entity))
    dated.sort()
    for window in windows([time_ns for time_ns, _ in dated], WINDOWS):
        names = [entity for time_ns, entity in dated if window[0] <= time_ns <= window[1]]
        statements.append(f"{_VERSIONS} FROM /.*/ WHERE {_between(*window)} AND {_one_of(ENTITY, names)} GROUP BY *")
    if undated:
        statements.append(f"{_VERSIONS} FROM /.*/ WHERE {_one_of(ENTITY, undated)} GROUP BY *")
    return statements


def time_in(entity: str) -> int | None:
    """Return the time in ns that an entity ends in, as in `gps:user-1:1777000000123456789`."""
    last = entity.rpartition(":")[2]
    return int(last) if len(last) == 19 and last.isdecimal() and last.isascii() else None


def windows(times: Iterable[int], most: int) -> list[tuple[int, int]]:
    """Return at most so many ranges, ends included, that hold all times and leave out the largest gaps between them."""
    ordered = sorted(times)
    if not ordered:
        return []
    widths = list(map(sub, ordered[1:], ordered))
    if not widths or max(widths) <= _NS:  # as of nearly all batches
        return [(ordered[0], ordered[-1])]
    gaps = [index for index, width in enumerate(widths, 1) if width > _NS]
    cuts = sorted(sorted(gaps, key=lambda index: widths[index - 1], reverse=True)[: most - 1])
    starts, ends = [0, *cuts], [*cuts, len(ordered)]
    return [(ordered[start], ordered[end - 1]) for start, end in zip(starts, ends, strict=True)]


def removal(point: Point) -> bytes:
    """Return the body of a request that deletes one point and nothing else (its time is the whole range)."""
    seconds, ns = divmod(point.time_ns, _NS)
    moment = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ns:09d}Z"
    named = [("_measurement", point.measurement), *point.tags]
    predicate = " AND ".join(f"{_identifier(name)}={_identifier(value)}" for name, value in named)
    return msgspec.json.encode({"start": moment, "stop": moment, "predicate": predicate})


def _around(times: Times, select: str, prefixes: tuple[str, ...]) -> list[str]:
    measurements: defaultdict[str, list[Series]] = defaultdict(list)
    for series in times:
        measurements[series.measurement].append(series)
    statements: list[str] = []
    for measurement, several in measurements.items():
        source = ", ".join(_identifier(prefix + measurement) for prefix in ("", *prefixes))
        if len(several) <= SERIES_BY_NAME:
            for series in several:
                for window in windows(times[series], 2):
                    where = " AND ".join([_between(*window), *_same(series)])
                    statements.append(f"{select} FROM {source} WHERE {where} GROUP BY *")
        else:
            pattern = _widest(series.tags for series in several)
            for window in windows(chain.from_iterable(times[series] for series in several), WINDOWS):
                where = " AND ".join([_between(*window), *pattern])
                statements.append(f"{select} FROM {source} WHERE {where} GROUP BY *")
    return statements


def _same(series: Series) -> list[str]:
    return [f"{_identifier(name)} = {_string(value)}" for name, value in series.tags]


def _widest(series: Iterable[tuple[tuple[str, str], ...]]) -> list[str]:
    """Return a condition on the tag of most values; none when no tag is on every series."""
    values: defaultdict[str, set[str]] = defaultdict(set)
    common: set[str] | None = None
    for tags in series:
        names = {name for name, _ in tags}
        common = names if common is None else common & names
        for name, value in tags:
            values[name].add(value)
    if not common:
        return []
    widest = max(common, key=lambda name: len(values[name]))
    return [_one_of(widest, sorted(values[widest]))]


def _between(first: int, last: int) -> str:
    return f"time >= {first} AND time <= {last}"


def _one_of(name: str, values: Iterable[str]) -> str:
    return f"{_identifier(name)} =~ /^({'|'.join(_literal(value) for value in values)})$/"


def _identifier(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _string(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"


_SPECIAL = re.compile(r"[^\w:. \-]|[\x00-\x1f]|\.", re.UNICODE)


def _literal(text: str) -> str:
    """Return a pattern (RE2) that matches this text alone. Any character may be given by its number."""
    return _SPECIAL.sub(lambda match: f"\\x{{{ord(match[0]):x}}}", text)
