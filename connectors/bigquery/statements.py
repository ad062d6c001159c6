"""The tables in BigQuery: their names, the ids of jobs, and the SQL. Pure.

`<dataset>_rows` has what was loaded, which may be a row more than once: files are merged in the warehouse, and rows are
corrected. `deleted` has the deletes. The view `<dataset>` shows each row once, in its newest version.
"""

import hashlib

from msgspec import Struct

DELETED = "deleted"


class Destination(Struct, frozen=True, kw_only=True):
    """A dataset of BigQuery.

    Attributes:
        project: its project.
        dataset: its name; made when it is missing.
        location: where it is made, as in "EU".
    """

    project: str
    dataset: str
    location: str

    def table(self, name: str) -> str:
        """Return the whole name of a table."""
        return f"{self.project}.{self.dataset}.{name}"


def rows_of(dataset: str) -> str:
    """Return the name of the table that a dataset of the warehouse is loaded into."""
    return f"{dataset}_rows"


def job_id(destination: Destination, created: str, subject: str, attempt: int) -> str:
    """Return the id of a job: the same for the same subject, so that BigQuery refuses a second one.

    Args:
        destination: what the job changes.
        created: when its dataset was made. BigQuery knows ids for long after a dataset was dropped.
        subject: what is loaded or done, as the path of a file that never changes.
        attempt: 0, and one more for each job before it that failed for good.
    """
    digest = hashlib.sha256(f"{destination.table('')} {created} {subject}".encode()).hexdigest()
    return f"travelos_{digest[:32]}_{attempt}"


def view(destination: Destination, dataset: str) -> str:
    """Return the query of the view: each row once, in its newest version, without the deleted ones."""
    rows, deleted = destination.table(rows_of(dataset)), destination.table(DELETED)
    return (
        "SELECT * EXCEPT (nth) FROM ("  # noqa: S608 - names are options of ours
        "SELECT r.*, ROW_NUMBER() OVER (PARTITION BY r.entity, r.source ORDER BY r.version DESC) AS nth "
        f"FROM `{rows}` AS r WHERE NOT EXISTS ("
        f"SELECT 1 FROM `{deleted}` AS d WHERE d.entity = r.entity AND d.source = r.source AND d.version >= r.version"
        ")) WHERE nth = 1"
    )


def removal(destination: Destination, dataset: str) -> str:
    """Return the statement that removes deleted rows for good: an erasure is not only a matter of the view."""
    rows, deleted = destination.table(rows_of(dataset)), destination.table(DELETED)
    return (
        f"DELETE FROM `{rows}` AS r WHERE EXISTS ("  # noqa: S608 - names are options of ours
        f"SELECT 1 FROM `{deleted}` AS d WHERE d.entity = r.entity AND d.source = r.source AND d.version >= r.version)"
    )
