"""What SQLite's and the file system's errors mean for a batch or for one write."""

import errno
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import apsw

from connectors.sinks.errors import Fatal, Unavailable


class Refused(ValueError):  # noqa: N818 - becomes the outcome Rejected, and reads like it
    """This write can never be stored; the message names the field."""


# What one write can be guilty of by itself. Everything else concerns the whole store.
REFUSALS = (
    Refused,
    apsw.ConstraintError,
    apsw.MismatchError,
    apsw.TooBigError,
    OverflowError,  # an integer beyond 64 bits
    RecursionError,  # nested too deeply for JSON
    TypeError,  # a value that JSON does not have
    UnicodeEncodeError,  # half of a surrogate pair
)

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EIO)


def reason(error: Exception) -> str:
    """Return why a write was refused, for its dead letter."""
    match error:
        case Refused():
            return str(error)
        case apsw.ConstraintError():
            return f"breaks a rule of the store: {error}"  # SQLite names the columns
        case OverflowError():
            return f"a number does not fit into 64 bits: {error}"
        case UnicodeEncodeError():
            return f"text is not valid Unicode: {error.reason} at position {error.start}"
        case _:
            return f"cannot be stored: {error}"


@contextmanager
def interpreted(path: Path) -> Generator[None]:
    """Turn errors of the store at `path` into the closed set of the contract.

    Raises:
        Unavailable: locked, no room, or an I/O error; may pass.
        Fatal: damaged, not writable, or not what we made.
    """
    try:
        yield
    except apsw.BusyError as error:
        raise Unavailable(f"{path} is locked by another process") from error
    except apsw.FullError as error:
        raise Unavailable(f"no room left for {path}") from error
    except (apsw.IOError, apsw.NoMemError, apsw.LockedError, apsw.ProtocolError) as error:
        raise Unavailable(f"{path}: {error}") from error
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise Fatal(f"{path} is damaged ({error}); move it away and replay the store's topic") from error
    except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError) as error:
        raise Fatal(f"{path} cannot be written ({error}); let `data_dir` name a folder that can") from error
    except apsw.Error as error:
        raise Fatal(f"{path}: {error}") from error
    except OSError as error:
        if error.errno in _FULL:
            raise Unavailable(f"{error.filename or path}: {error.strerror}") from error
        raise Fatal(f"{error.filename or path}: {error.strerror}; let `data_dir` name a folder that works") from error
