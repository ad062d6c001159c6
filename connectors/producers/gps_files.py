"""Files of GPS points, whatever their format: GPX, CSV or PLT, plain or gzip."""

import codecs
from pathlib import Path

import msgspec

from connectors.producers.gps_csv import read_csv
from connectors.producers.gps_gpx import read_gpx
from connectors.producers.gps_plt import read_plt
from connectors.producers.input_files import InputFile, Reading, UnreadableFile
from schemas.fields import Identifier

_PLT_FIRST_LINES = ("geolife trajectory", "oziexplorer track")
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_HEAD_BYTES = 256


def read_fixes(file: InputFile, path: Path, user: str | None = None) -> Reading:
    """Return the fixes of a file as events; a bad point is an error with its number, and the rest goes on.

    The format is told by the content, then by the name. The same point of the same file gives the same event id, so a
    file that is sent twice within the time of deduplication counts once.

    Args:
        file: opened from `path`.
        path: its name without endings is the user where nothing else says who it is.
        user: whose points these are, where the file has no column for it.

    Raises:
        UnreadableFile: the file is none of these, or `user` cannot be a user id.
    """
    who = user if user is not None else stem(path)
    try:
        msgspec.convert(who, Identifier)
    except msgspec.ValidationError as error:
        raise UnreadableFile(f"{who!r} cannot be a user id: {error}") from error
    if file.is_empty:
        return Reading("line", iter(()))
    raw = file.head(_HEAD_BYTES)
    is_utf16 = raw.startswith(_UTF16_MARKS)
    head = raw.decode("utf-16" if is_utf16 else "utf-8-sig", "replace").lstrip().lower()
    if head.startswith("<"):
        return read_gpx(file, who)  # XML says itself how it is encoded
    if is_utf16:
        raise UnreadableFile(f"{file.name} is UTF-16: save it as UTF-8")
    if head.startswith(_PLT_FIRST_LINES) or ".plt" in path.suffixes:
        return read_plt(file, who)
    return read_csv(file, who)


def stem(path: Path) -> str:
    """Return the name of a file without the endings of its format and compression."""
    plain = Path(path.name.removesuffix(".gz"))
    return plain.stem
