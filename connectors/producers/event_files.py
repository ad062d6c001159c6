"""Files of events: one JSON object a line, as `schemas.events` writes them.

Nothing is guessed: an event without `event_id` or `occurred_at` is an error of its line. An id made up here would be
another one at the next attempt, so that sending a file twice would count its events twice; a time made up here would
be the time of sending.
"""

from collections.abc import Iterator

from connectors.producers.input_files import InputFile, Numbered, Reading
from schemas.events import Event, InvalidEvent, decode_event


def read_events(file: InputFile) -> Reading:
    """Return the events of a file. Blank lines are passed over; whatever is wrong is an error of its line."""
    return Reading("line", _decoded(file))


def _decoded(file: InputFile) -> Iterator[Numbered]:
    for number, line in file.lines():
        if isinstance(line, InvalidEvent):
            yield number, line
        elif line.strip():
            yield number, _decode(line)


def _decode(line: bytes) -> Event | InvalidEvent:
    try:
        return decode_event(line)
    except InvalidEvent as error:
        return error
