"""How a repair gets past a `_version` that another client has counted up. Pure.

A change by another client adds one to it, and so does its delete, which Elasticsearch remembers for
index.gc_deletes. It cannot be set back; what a source wrote is told by `version` in the document.
"""

from connectors.sinks.elasticsearch.documents import action, creation
from connectors.sinks.elasticsearch.lines import Known
from schemas.writes import SearchWrite


def line_of_repair(name: str, write: SearchWrite, known: Known | None) -> bytes | None:
    """Return the line by which a refused repair is written; None: it was refused because something newer is there.

    Either line holds only while the document is what was read: it is not there, or has this `_version` or a lower one.
    A newer write that comes in between has a higher one, and stays.

    Args:
        name: the `_id` of the document.
        write: the repair.
        known: what the index holds of its source and entity.
    """
    if known is None:
        return creation(name)
    if known.version > write.replaces:
        return None
    return action(name, max(known.number, write.version), "external_gte")
