"""Apache Spark, of which no cluster is started: one process that reads files in place. Needs Java 17 or newer."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deploy.local.install import installed, run
from deploy.local.process import ServerFailed
from deploy.local.programs import find_java

HERE = Path(__file__).parent
VERSION = "4.3.0"
JAVA = 17
TIMEOUT_SECONDS = 300


def install() -> Path:
    """Return the folder of its Python package, which holds its jars; the first time it is fetched (520 MB on disk).

    It is no dependency of the project: nothing but a check of what it reads needs it.

    Raises:
        ServerFailed: `pip` failed.
    """

    def build(fresh: Path) -> None:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", fresh]
        run([*command, f"pyspark=={VERSION}"], cwd=fresh, env=os.environ, purpose="fetching Spark")

    return installed(f"spark-{VERSION}", build)


def query(tables: Mapping[str, Path], statements: Sequence[str]) -> list[list[list[Any]]]:
    """Return the rows of each statement over folders of Parquet files, each known by the name of its table.

    Dates and times are texts, as JSON has no others.

    Raises:
        ServerFailed: there is no Java, or Spark failed; the message ends with what it said.
    """
    java = find_java("Spark", at_least=JAVA)
    asked = json.dumps({"tables": {name: str(folder) for name, folder in tables.items()}, "statements": [*statements]})
    done = subprocess.run(
        [sys.executable, HERE / "ask.py"],
        input=asked,
        env={**os.environ, "PYTHONPATH": str(install()), "JAVA_HOME": str(java.home), "SPARK_LOCAL_IP": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode:
        raise ServerFailed(f"Spark failed with {done.returncode}: {done.stderr[-2_000:]}")
    return json.loads(done.stdout)
