"""Somebody who works on the captured table all the while."""

from random import Random
from threading import Event, Thread

import psycopg


class Writer(Thread):
    """Inserts, updates, deletes and moves rows of `t`, some a transaction, until it is told to stop.

    It writes less than the source can read on a busy machine. At full speed it outran one that shared two cores with
    it: the marks of a chunk came ever later in the stream, and a snapshot beside it never ended.
    """

    PAUSE_SECONDS = 0.005

    def __init__(self, dsn: str, ids: int) -> None:
        super().__init__(name="writer")
        self._dsn = dsn
        self._ids = ids
        self._done = Event()
        self.transactions = 0

    def run(self) -> None:
        draw = Random(11)
        with psycopg.connect(self._dsn) as connection:
            while not self._done.wait(self.PAUSE_SECONDS):
                for _ in range(draw.randint(1, 10)):
                    key, other = draw.randint(1, self._ids), draw.randint(1, self._ids)
                    statement = draw.choice(
                        [
                            "INSERT INTO t VALUES (%(key)s, %(text)s) ON CONFLICT DO NOTHING",
                            "UPDATE t SET a = %(text)s WHERE id = %(key)s",
                            "DELETE FROM t WHERE id = %(key)s",
                            "UPDATE t SET id = %(other)s WHERE id = %(key)s"
                            " AND NOT EXISTS (SELECT FROM t WHERE id = %(other)s)",
                        ]
                    )
                    values = {"key": key, "other": other, "text": str(draw.random())}
                    connection.execute(statement.encode(), values)
                connection.commit()
                self.transactions += 1

    def finish(self) -> None:
        self._done.set()
        self.join()
