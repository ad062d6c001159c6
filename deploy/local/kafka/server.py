"""A single-node Apache Kafka (KRaft) from Maven Central's jars. Needs `java` (17 or newer) and `mvn`."""

import os
import shutil
import signal
import subprocess
import tempfile
from base64 import urlsafe_b64encode
from pathlib import Path
from uuid import uuid4

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from deploy.local.process import ServerFailed, ServerProcess, cache_folder, free_port

HERE = Path(__file__).parent
VERSION = "4.1.1"


class KafkaServer:
    """A broker whose log segments and pid file lie in `folder`; a second start finds the topics of the first."""

    def __init__(self, folder: Path, *, port: int | None = None, heap: str = "512m") -> None:
        self.folder = folder
        self.port = port or free_port()
        self.heap = heap
        self.process = ServerProcess("kafka", folder)

    @staticmethod
    def available() -> bool:
        """Whether this machine has what `install` and `start` need."""
        return shutil.which("java") is not None and shutil.which("mvn") is not None

    @property
    def bootstrap(self) -> str:
        """The address clients connect to."""
        return f"127.0.0.1:{self.port}"

    @staticmethod
    def install() -> Path:
        """Return the folder of the jars; the first time they are fetched (43 MB, some 7 s).

        Raises:
            ServerFailed: `mvn` is missing or failed.
        """
        jars = cache_folder() / f"kafka-{VERSION}"
        if jars.exists():
            return jars
        # Fetched beside and renamed, so that an interrupted download is never taken for a whole one.
        fresh = Path(tempfile.mkdtemp(prefix="kafka-", dir=cache_folder()))
        shutil.copy(HERE / "pom.xml", fresh)
        command = [
            "mvn",
            "-q",
            "-B",
            "-ntp",
            "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies",
            f"-DoutputDirectory={fresh}/lib",
        ]
        try:
            done = subprocess.run(command, cwd=fresh, capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            raise ServerFailed("Kafka needs `mvn` on the PATH to fetch its jars") from error
        if done.returncode != 0:
            raise ServerFailed(f"mvn could not fetch Kafka's jars:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        try:
            (fresh / "lib").rename(jars)
        except OSError:
            if not jars.exists():  # else another process was faster, and its jars are as good
                raise
        shutil.rmtree(fresh, ignore_errors=True)
        return jars

    def start(self, timeout: float = 60) -> None:
        """Start the broker and return once it answers a metadata request.

        Raises:
            ServerFailed: it cannot be installed or did not come up.
        """
        jars = self.install()
        self.process.stop()  # one that an earlier run left behind holds the lock of the log folder
        data = self.folder / "data"
        self.folder.mkdir(parents=True, exist_ok=True)
        properties = self.folder / "server.properties"
        text = (HERE / "server.properties").read_text()
        properties.write_text(text.format(port=self.port, controller_port=free_port(), data=data))
        java = ["java", f"-Xmx{self.heap}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*"]
        if not (data / "meta.properties").exists():
            self._format(java, properties)
        quiet = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        self.process.spawn([*java[:-2], *quiet, *java[-2:], "kafka.Kafka", properties])
        self.process.wait_until(self._answers, timeout)

    def stop(self) -> None:
        """Shut the broker down in order."""
        self.process.stop()

    def kill(self) -> None:
        """End the broker as a crash would, and wait until it is gone."""
        self.process.stop(stop_signal=signal.SIGKILL)

    def _format(self, java: list[str], properties: Path) -> None:
        command = [*java, "kafka.tools.StorageTool", "format", "-t", _cluster_id(), "-c", str(properties)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
        if done.returncode != 0:
            raise ServerFailed(
                f"Kafka's log folder could not be formatted:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
            )

    def _answers(self) -> bool:
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        try:
            return bool(admin.list_topics(timeout=1).brokers)
        except KafkaException:
            return False


def _cluster_id() -> str:
    return urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")
