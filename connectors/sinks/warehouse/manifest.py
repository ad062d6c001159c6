"""The tables of the warehouse's manifest: which files there are, and in which of them each row lies."""

from connectors.sinks.sqlite.database import Schema

SCHEMA = Schema(
    tag="TOwh",
    synchronous="FULL",  # a manifest that forgot a commit would let `open` remove acknowledged rows
    migrations=(
        """
        -- A file that was replaced stays known: deleted rows still tell by it where they lay.
        CREATE TABLE files (
            id INTEGER PRIMARY KEY,
            path TEXT NOT NULL UNIQUE,
            dataset TEXT NOT NULL,
            day TEXT NOT NULL,
            rows INTEGER NOT NULL,
            bytes INTEGER NOT NULL,
            live INTEGER NOT NULL DEFAULT 1
        ) STRICT;
        CREATE INDEX files_by_day ON files (dataset, day) WHERE live;
        ALTER TABLE versions ADD COLUMN file INTEGER REFERENCES files (id);
        """,
    ),
)


# Parameters: entity, source. Where a row lies, and where one lies or lay.
LYING = """
SELECT f.path, f.dataset, f.day FROM versions AS v JOIN files AS f ON f.id = v.file AND f.live
WHERE v.entity = ? AND v.source = ? AND NOT v.deleted
"""
LAIN = "SELECT f.dataset, f.day FROM versions AS v JOIN files AS f ON f.id = v.file WHERE v.entity = ? AND v.source = ?"
NO_DAY = "1970-01-01"
