"""What can go wrong with an archive. The store being away is `connectors.sinks.errors.Unavailable`."""


class ArchiveError(Exception):
    """The archive is not what it has to be; the message names the object, never what is in it."""


class ArchiveConflict(ArchiveError):  # noqa: N818 - reads as a state, which it is
    """Under the name of an object lies something else. Nothing was written over it."""


class Unreadable(ArchiveError):  # noqa: N818 - reads as a state, which it is
    """An object is damaged, or not one of an archive."""
