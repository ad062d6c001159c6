"""What is still to be read of the captured tables. Kept with the offsets, so that it survives whatever happens to us.

Pure: each step is a function from one state to the next.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct, structs

# The columns of a key as Postgres prints them; base64 in JSON, because not every database holds UTF-8.
Key = tuple[bytes, ...]


class TableToRead(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One table of a snapshot, as far as it is not in Kafka.

    Attributes:
        run: tells apart two snapshots of one table.
        table: as "<schema>.<table>".
        condition: SQL that rows have to meet; empty for all rows.
        after: key of the last row that Kafka has, each column as Postgres prints it; None when it has none.
        rows: how many it has.
        from_xid: read it only when all transactions before this one have ended, because the stream lacks their changes.
        signal: id of the signal that asked for it; empty when none did.
    """

    run: int
    table: str
    condition: str = ""
    after: Key | None = None
    rows: int = 0
    from_xid: int = 0
    signal: str = ""


class SnapshotState(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The tables that are still to be read, in order.

    Attributes:
        tables: the first one is being read, unless `paused`.
        initial: the tables have never been read completely: until they have been, the snapshot counts as interrupted.
        paused: somebody asked to wait.
        runs: the number of the last run.
    """

    tables: tuple[TableToRead, ...] = ()
    initial: bool = False
    paused: bool = False
    runs: int = 0

    def with_tables(
        self, tables: Iterable[str], *, condition: str = "", from_xid: int = 0, signal: str = ""
    ) -> "SnapshotState":
        """Add tables at the end. What is waiting already, with the same condition, is not added again."""
        waiting = {(entry.table, entry.condition) for entry in self.tables}
        added = [table for table in tables if (table, condition) not in waiting]
        entries = [
            TableToRead(run=run, table=table, condition=condition, from_xid=from_xid, signal=signal)
            for run, table in enumerate(added, start=self.runs + 1)
        ]
        return structs.replace(self, tables=(*self.tables, *entries), runs=self.runs + len(entries))

    def only(self, tables: Sequence[str]) -> "SnapshotState":
        """Leave out what is not among these tables."""
        return structs.replace(self, tables=tuple(entry for entry in self.tables if entry.table in tables))

    def without(self, tables: Sequence[str]) -> "SnapshotState":
        """Leave out these tables."""
        return structs.replace(self, tables=tuple(entry for entry in self.tables if entry.table not in tables))

    def progressed(self, run: int, after: Key, rows: int) -> "SnapshotState":
        """Note that Kafka has `rows` more rows of a run, up to the key `after`. Nothing changes when it was stopped."""
        tables = tuple(
            structs.replace(entry, after=after, rows=entry.rows + rows) if entry.run == run else entry
            for entry in self.tables
        )
        return structs.replace(self, tables=tables)

    def finished(self, run: int) -> "SnapshotState":
        """Note that Kafka has all rows of a run. Nothing changes when it was stopped."""
        return structs.replace(self, tables=tuple(entry for entry in self.tables if entry.run != run))

    def has(self, run: int) -> bool:
        """Whether a run is still wanted."""
        return any(entry.run == run for entry in self.tables)

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return not self.tables
