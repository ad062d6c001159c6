# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false
"""Follow the log of a warehouse, and load what it names."""

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import BytesIO
from itertools import count
from typing import Any

import msgspec
from google.api_core.exceptions import Conflict, GoogleAPICallError
from google.cloud import bigquery
from msgspec import Struct

from connectors.bigquery.errors import interpreted
from connectors.bigquery.statements import DELETED, Destination, job_id, removal, rows_of, view
from connectors.sinks.errors import Fatal, Unavailable
from connectors.sinks.warehouse.log import Deleted, Entry, Listing, Log
from connectors.sinks.warehouse.sink import DATASETS
from connectors.storage import LostRace, Storage

_ATTEMPTS = 5
_FIRST_PAUSE = 1.0  # seconds; each further one is twice as long
_ROWS = (
    bigquery.SchemaField("event_id", "STRING", "REQUIRED"),
    bigquery.SchemaField("entity", "STRING", "REQUIRED"),
    bigquery.SchemaField("type", "STRING", "REQUIRED"),
    bigquery.SchemaField("user_id", "STRING"),
    bigquery.SchemaField("occurred_at", "TIMESTAMP", "REQUIRED"),
    bigquery.SchemaField("version", "INTEGER", "REQUIRED"),
    bigquery.SchemaField("source", "STRING", "REQUIRED"),
    bigquery.SchemaField("body", "STRING", "REQUIRED"),
)
_DELETES = tuple(field for field in _ROWS if field.name in ("entity", "source", "version"))


class Loaded(Struct, frozen=True, kw_only=True):
    """What one run did: how far it came, and what it sent."""

    entry: int
    files: int
    rows: int
    deletes: int


class BigQueryLoader:
    """Loads a warehouse into one dataset.

    A file never changes and is loaded by a job whose id follows from its path, so a run that is repeated, or two at
    once, load nothing twice. How far a run came, the warehouse's store keeps.

    Args:
        client: of BigQuery.
        destination: the dataset.
        storage: where the warehouse lies; open.
        pause: lets so many seconds pass between two attempts at a job.
    """

    def __init__(
        self,
        client: bigquery.Client,
        destination: Destination,
        storage: Storage,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._to = destination
        self._storage = storage
        self._log = Log(storage)
        self._pause = pause
        self._created = ""

    def run(self) -> Loaded:
        """Load what is new.

        Raises:
            Unavailable: BigQuery or the store does not answer, or the warehouse is changing; run it again.
            Fatal: it never will like this; names the option.
        """
        with interpreted():
            self._created = self._create()
        mark_path = f"_loads/{self._to.project}.{self._to.dataset}.{self._created}.json"
        mark = self._storage.get(mark_path)
        done = -1 if mark is None else msgspec.json.decode(mark.data, type=int)
        listing = self._log.listing()
        entries = self._entries(done, listing)
        gone = {path for entry in entries for path in entry.removed}
        files = [file for entry in entries for file in entry.added if file.path not in gone]
        for file in files:
            self._load_file(file.path, file.dataset)
        deletes = [one for entry in entries for one in entry.deleted]
        if deletes:
            self._delete(listing.last, deletes)
        if listing.last > done:
            with suppress(LostRace):  # another run came as far; its jobs were ours
                number = msgspec.json.encode(listing.last)
                self._storage.put(mark_path, number, "application/json", over=None if mark is None else mark.token)
        return Loaded(entry=listing.last, files=len(files), rows=sum(file.rows for file in files), deletes=len(deletes))

    def _entries(self, done: int, listing: Listing) -> list[Entry]:
        entries: list[Entry] = []
        if listing.checkpoints and done + 1 not in listing.entries and listing.last > done:
            entries.append(_there(self._log.checkpoint(listing.checkpoints[-1])))
            done = listing.checkpoints[-1]
        return [*entries, *(_there(self._log.entry(number)) for number in listing.entries if number > done)]

    def _create(self) -> str:
        """Make what is missing; return when the dataset was made, which tells it from one that was dropped."""
        dataset = bigquery.Dataset(f"{self._to.project}.{self._to.dataset}")
        dataset.location = self._to.location
        self._client.create_dataset(dataset, exists_ok=True)
        self._client.create_table(bigquery.Table(self._to.table(DELETED), _DELETES), exists_ok=True)
        for name in DATASETS:
            table = bigquery.Table(self._to.table(rows_of(name)), _ROWS)
            table.time_partitioning = bigquery.TimePartitioning(field="occurred_at")
            table.clustering_fields = ["user_id", "entity"]
            self._client.create_table(table, exists_ok=True)
            shown = bigquery.Table(self._to.table(name))
            shown.view_query = view(self._to, name)
            self._client.create_table(shown, exists_ok=True)
        made = self._client.get_dataset(dataset.reference).created
        return "" if made is None else f"{made.timestamp() * 1_000:.0f}"

    def _load_file(self, path: str, dataset: str) -> None:
        found = self._storage.get(path)
        if found is None:
            raise Unavailable("the warehouse is being changed; a file was merged away")
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET,
            write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
            schema_update_options=[bigquery.SchemaUpdateOption.ALLOW_FIELD_ADDITION],  # columns of a newer release
        )
        table = self._to.table(rows_of(dataset))
        self._once(
            path,
            lambda job: self._client.load_table_from_file(
                BytesIO(found.data), table, job_id=job, location=self._to.location, job_config=config
            ),
        )

    def _delete(self, last: int, deletes: Sequence[Deleted]) -> None:
        rows = [{"entity": entity, "source": source, "version": version} for entity, source, version in deletes]
        data = b"\n".join(map(msgspec.json.encode, rows))
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.NEWLINE_DELIMITED_JSON,
            schema=_DELETES,
            write_disposition="WRITE_APPEND",
        )
        table = self._to.table(DELETED)
        # A warehouse that is filled anew has the same numbers for other entries.
        what = f"{last} {hashlib.sha256(data).hexdigest()}"
        self._once(
            f"deletes up to {what}",
            lambda job: self._client.load_table_from_file(
                BytesIO(data), table, job_id=job, location=self._to.location, job_config=config
            ),
        )
        for name in DATASETS:
            statement = removal(self._to, name)
            self._once(
                f"removal up to {what} from {name}",
                lambda job, statement=statement: self._client.query(
                    statement, job_id=job, location=self._to.location, job_retry=None
                ),
            )

    def _once(self, subject: str, start: Callable[[str], Any]) -> None:
        """Run a job, unless it was run; one that failed is run again under the next id.

        Those of earlier runs are not counted: what made them fail may be over.
        """
        failed = 0
        for attempt in count():
            name = job_id(self._to, self._created, subject, attempt)
            with interpreted():
                try:
                    job, started = start(name), True
                except Conflict:
                    job, started = self._client.get_job(name, location=self._to.location), False
                problem = _failure(job)
            if problem is None:
                return
            if started:
                failed += 1
                if failed == _ATTEMPTS:
                    raise Fatal(f"BigQuery does not do it ({subject}): {problem}") from problem
                self._pause(_FIRST_PAUSE * 2 ** (failed - 1))


def _failure(job: Any) -> GoogleAPICallError | None:
    """Wait for a job to end, and return why it failed; None: it did not."""
    try:
        job.result()
    except GoogleAPICallError as error:
        if job.error_result is None:  # the look at it failed, not the job
            raise
        return error
    return None


def _there(entry: Entry | None) -> Entry:
    if entry is None:
        raise Unavailable("the warehouse is being changed; an entry of its log was summarised")
    return entry
