"""Debezium's embedded engine as a process: the peer of the benchmark and of the differential test.

Needs a JDK of 17 or newer and `mvn`.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import msgspec
from msgspec import Struct

from bench.runtime.timeline import Sample
from deploy.local.install import copy_jars, installed, recipe_digest, run
from deploy.local.process import ServerProcess
from deploy.local.programs import find_java, require

HERE = Path(__file__).parent
VERSION = "3.4.3.Final"
JAVA = 17
STOP_SECONDS = 30.0
TAIL_BYTES = 65_536  # more than a record with its schemas, and what may come after it


class PeerEvent(Struct, frozen=True):
    """One record as Debezium made it: key and value as JSON texts, a tombstone without value."""

    topic: str
    key: str | None
    value: str | None
    headers: list[tuple[str, str]]


def install() -> Path:
    """Return the folder of jars and classes; the first time they are fetched and compiled (40 MB, some 15 s).

    Raises:
        ServerFailed: the JDK or `mvn` is missing, or a step failed.
    """
    java = find_java("Debezium", at_least=JAVA, compiler=True)
    source, pom = HERE / "Engine.java", HERE / "pom.xml"

    def build(fresh: Path) -> None:
        require("Debezium", "mvn")
        copy_jars(pom, fresh / "lib")
        command = [java.program("javac"), "--release", str(JAVA), "-cp", f"{fresh / 'lib'}/*", "-d", fresh / "classes"]
        run([*command, source], cwd=fresh, purpose="compiling the engine")

    return installed(f"debezium-{VERSION}-{recipe_digest(pom, source)}", build)


class Debezium:
    """Debezium reading the tables of a database into nothing, or into a file. Use as a context manager.

    It keeps its position in `folder`: another one with the same folder goes on from there.

    Args:
        folder: for its options, its position, its log and its records.
        database: how to reach it: host, port, user, password, dbname.
        tables: to capture, as "schema.table".
        name: Debezium's `topic.prefix`; its slot and publication are named after it too.
        keep_records: write every record to a file, for `events`; else only count them.
        heap: the JVM's limit.
        options: more of Debezium's.
    """

    def __init__(
        self,
        folder: Path,
        database: Mapping[str, str],
        tables: list[str],
        *,
        name: str = "peer",
        keep_records: bool = False,
        heap: str = "1g",
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.process = ServerProcess("debezium", folder)
        self._folder = folder
        self._heap = heap
        self._records = folder / "records.jsonl" if keep_records else None
        self._options = {
            "name": name,
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "offset.storage": "org.apache.kafka.connect.storage.FileOffsetBackingStore",
            "offset.storage.file.filename": str(folder / "offsets.dat"),
            "offset.flush.interval.ms": "1000",
            "topic.prefix": name,
            "plugin.name": "pgoutput",
            "slot.name": f"{name}_slot",
            "publication.name": f"{name}_publication",
            "publication.autocreate.mode": "filtered",
            "table.include.list": ",".join(table.replace(".", "\\.") for table in tables),
            "converter.schemas.enable": "false",
            "key.converter.schemas.enable": "false",
            "value.converter.schemas.enable": "false",
            "header.converter.schemas.enable": "false",
            **{f"database.{option}": value for option, value in database.items()},
            **(options or {}),
        }

    def start(self) -> None:
        """Start it; it begins with a snapshot unless it has a position.

        Raises:
            ServerFailed: it cannot be installed or run.
        """
        home = install()
        self._folder.mkdir(parents=True, exist_ok=True)
        properties = self._folder / "options.properties"
        properties.write_text("".join(f"{name}={_escaped(value)}\n" for name, value in self._options.items()))
        properties.chmod(0o600)
        java = find_java("Debezium", at_least=JAVA).program()
        quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        command = [
            java,
            f"-Xmx{self._heap}",
            quiet,
            "-cp",
            f"{home / 'classes'}:{home / 'lib'}/*",
            "Engine",
            properties,
        ]
        self.process.spawn(command if self._records is None else [*command, self._records])

    def stop(self) -> None:
        """End it in order, its position written."""
        self.process.stop(timeout=STOP_SECONDS)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def samples(self) -> list[Sample]:
        """Return how far it was and when, of one that only counts."""
        lines = self.process.log_file.read_text(errors="replace").splitlines()
        told: list[dict[str, Any]] = [
            json.loads(line) for line in lines if line.startswith('{"at"') and line[-1] == "}"
        ]
        return [Sample(one["at"], one["done"], one["cpu"]) for one in told]

    @property
    def done(self) -> int:
        """How many events it has counted, tombstones left out."""
        samples = self.samples()
        return samples[-1].done if samples else 0

    def has_written(self, text: str) -> bool:
        """Whether a text is near the end of what it has written."""
        assert self._records is not None
        if not self._records.exists():
            return False
        with self._records.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            return text.encode() in file.read()

    def count(self, text: str) -> int:
        """How many times a text is in what it has written."""
        assert self._records is not None
        return self._records.read_bytes().count(text.encode()) if self._records.exists() else 0

    def events(self) -> list[PeerEvent]:
        """Return the records that it has written, in its order; the last line may still be on its way."""
        assert self._records is not None
        if not self._records.exists():
            return []
        whole, _, _ = self._records.read_bytes().rpartition(b"\n")
        return [_decode(line) for line in whole.splitlines()]


_decode = msgspec.json.Decoder(PeerEvent).decode


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\")
