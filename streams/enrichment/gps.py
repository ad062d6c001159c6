"""One GPS fix after the other: speed, heading, jumps, gaps, stays and trip segments.

The order of a track is that of `occurred_at`. A fix that is not newer than the last one changes nothing. A fix that
could only be reached faster than `jump_kmh` is marked as a jump and put aside: the next one is measured from the last
fix that was believed, so the way back is no jump. When the next one is too far as well, but within reach of the one
put aside, the two are believed: the track ends and goes on there. A receiver that repeats a wrong position is thus
followed at the second fix, and its way back is marked once.
"""

from msgspec import Struct

from schemas.clock import milliseconds
from schemas.events import GpsUpdate
from streams.enrichment.geo import bearing_deg, cell, distance_m
from streams.enrichment.stays import merged, pending, segment, segment_to, stay, thinned, within
from streams.enrichment.track import Fix, GpsFacts, GpsRules, GpsState, Leg, Mark, Segment, Stay

_MOVED_M = 1.0  # below this the direction of a movement is noise


class _Step(Struct, frozen=True, gc=False):
    start: Fix
    metres: float
    seconds: float
    mps: float


class _Next(Struct, frozen=True, gc=False):
    state: GpsState
    stay: Stay | None = None
    segment: Segment | None = None


def advance(state: GpsState | None, fix: GpsUpdate, rules: GpsRules) -> tuple[GpsState, GpsFacts]:
    """Return the state after a fix of one traveller, and what the fix says.

    The outcome depends on the state and the fix alone, so a track gives the same facts in one batch or in many.
    """
    at = Fix(milliseconds(fix.occurred_at), fix.lat, fix.lon)
    where = cell(at.lat, at.lon, rules.h3_resolution)
    if state is None:
        return _begun(at), GpsFacts(where, fix.heading)
    last, suspect = state.last, state.suspect
    if at in (last, suspect):
        return state, GpsFacts(where, fix.heading, jump=at == suspect, repeat=True)
    if at.ms <= last.ms:
        return state, GpsFacts(where, fix.heading, late=True)
    step = _step(last, at)
    if step.mps * 3.6 <= rules.jump_kmh:
        after = (_stayed if state.staying else _moved)(state, at, step, rules, fix)
        return after.state, _facts(where, fix, step, rules, after)
    if suspect is not None and at.ms > suspect.ms:
        step_there = _step(suspect, at)
        if step_there.mps * 3.6 <= rules.jump_kmh:
            after = _relocated(state, suspect, at, rules, fix)
            return after.state, _facts(where, fix, step_there, rules, after)
    put_aside = GpsState(last, state.marks, state.staying, state.leg, at)
    return put_aside, _facts(where, fix, step, rules, None)


def recall(state: GpsState | None, fix: GpsUpdate, rules: GpsRules) -> GpsFacts:
    """Return what is still known of a fix that the state has seen already: a replay, which changes nothing.

    That is its cell, the device's heading, whether it is older than the last fix that was believed, and whether it was
    put aside: a fix that was seen and is newer than that one was a jump.
    """
    at = Fix(milliseconds(fix.occurred_at), fix.lat, fix.lon)
    jump = state is not None and at.ms > state.last.ms
    late = state is not None and not jump and at != state.last
    return GpsFacts(cell(at.lat, at.lon, rules.h3_resolution), fix.heading, jump=jump, late=late)


def _step(start: Fix, end: Fix) -> _Step:
    metres = distance_m(start.lat, start.lon, end.lat, end.lon)
    seconds = (end.ms - start.ms) / 1_000
    return _Step(start, metres, seconds, metres / seconds)


def _is_gap(step: _Step, rules: GpsRules) -> bool:
    return step.seconds > rules.gap_minutes * 60


def _stayed(state: GpsState, at: Fix, step: _Step, rules: GpsRules, fix: GpsUpdate) -> _Next:
    """Return what follows a fix during a stay: it goes on, or it has ended and a leg begins."""
    mark = state.marks[0]
    if within(mark.fix, at, rules.stay_metres):
        return _Next(GpsState(at, (merged(mark, Mark(at)),), staying=True))
    leg = Leg(at) if _is_gap(step, rules) else Leg(state.last, 2, step.metres, step.mps)
    return _Next(GpsState(at, (_mark(at, leg),), leg=leg), stay=stay(fix.user_id, mark, state.last))


def _moved(state: GpsState, at: Fix, step: _Step, rules: GpsRules, fix: GpsUpdate) -> _Next:
    """Return what follows a fix outside a stay: the leg grows, ends with a gap, or has ended where a stay began."""
    leg = state.leg
    gap = _is_gap(step, rules)
    if leg is not None and not gap:
        leg = Leg(leg.start, leg.fixes + 1, leg.metres + step.metres, max(leg.top_mps, step.mps))
    marks = pending((*state.marks, _mark(at, leg)), rules.stay_metres)
    done = None
    if gap:
        # Where the traveller still is: at rest since then. Elsewhere: the way there is unknown.
        rested = len(marks) > 1
        if leg is not None:
            done = segment_to(fix.user_id, leg, marks[0]) if rested else segment(fix.user_id, leg, state.last)
        leg = None if rested else Leg(at)
        marks = marks if rested else (_mark(at, leg),)
    elif leg is None and marks[0] is not state.marks[0]:
        leg = Leg(state.last, 2, step.metres, step.mps)
        marks = (*marks[:-1], _mark(at, leg))
    if at.ms - marks[0].fix.ms < rules.stay_minutes * 60_000:
        return _Next(GpsState(at, thinned(marks), leg=leg), segment=done)
    done = done or segment_to(fix.user_id, leg, marks[0])
    whole = marks[0]
    for mark in marks[1:]:
        whole = merged(whole, mark)
    return _Next(GpsState(at, (whole,), staying=True), segment=done)


def _relocated(state: GpsState, suspect: Fix, at: Fix, rules: GpsRules, fix: GpsUpdate) -> _Next:
    """Return what follows when two fixes agree on another place: everything before ends, a track begins there."""
    there = _moved(_begun(suspect), at, _step(suspect, at), rules, fix)
    return _Next(
        there.state,
        stay=stay(fix.user_id, state.marks[0], state.last) if state.staying else None,
        segment=segment(fix.user_id, state.leg, state.last) if state.leg is not None else None,
    )


def _begun(at: Fix) -> GpsState:
    leg = Leg(at)
    return GpsState(at, (_mark(at, leg),), leg=leg)


def _mark(at: Fix, leg: Leg | None) -> Mark:
    return Mark(at) if leg is None else Mark(at, 1, 0.0, 0.0, leg.fixes, leg.metres, leg.top_mps)


def _facts(where: str, fix: GpsUpdate, step: _Step, rules: GpsRules, after: _Next | None) -> GpsFacts:
    """Return the facts of a step; `after` is None for a jump."""
    heading = fix.heading
    if heading is None and step.metres >= _MOVED_M:
        heading = bearing_deg(step.start.lat, step.start.lon, fix.lat, fix.lon)
    if after is None:
        return GpsFacts(where, heading, step.metres, step.seconds, step.mps, jump=True)
    gap = _is_gap(step, rules)
    return GpsFacts(
        where, heading, step.metres, step.seconds, step.mps, False, False, False, gap, after.stay, after.segment
    )
