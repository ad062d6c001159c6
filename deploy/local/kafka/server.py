"""A single-node Apache Kafka (KRaft) from Maven Central's jars. Needs Java 17 or newer and `mvn`."""

import os
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from deploy.local.install import copy_jars, installed, run
from deploy.local.jvm import JvmServer
from deploy.local.ports import free_port
from deploy.local.process import ServerFailed
from deploy.local.programs import find_java, require

HERE = Path(__file__).parent
VERSION = "4.1.1"
JAVA = 17


class KafkaServer(JvmServer):
    """A broker whose log segments lie in `folder`; a second start finds the topics of the first. No authentication.

    Args:
        folder: of its data, configuration and log.
        port: of its clients; None: the default one.
        heap: most memory of its Java heap.
        steady: see `JvmServer`.
        settings: of the broker, besides those of `server.properties`, or instead.
    """

    name = "kafka"
    default_port = 19092
    secret_names = ()

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        heap: str = "512m",
        steady: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(folder, port=port, heap=heap, steady=steady)
        self._settings = dict(settings or {})

    @staticmethod
    def available() -> bool:
        """Whether this machine has what `install` and `start` need."""
        try:
            find_java("Kafka", at_least=JAVA)
            require("Kafka", "mvn")
        except ServerFailed:
            return False
        return True

    @property
    def bootstrap(self) -> str:
        """The address clients connect to."""
        return f"127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        """The same as `bootstrap`."""
        return self.bootstrap

    @classmethod
    def install(cls) -> Path:
        """Return the folder of the jars; the first time they are fetched (43 MB, some 7 s).

        Raises:
            ServerFailed: Java or `mvn` is missing, or `mvn` failed.
        """
        find_java("Kafka", at_least=JAVA)

        def build(fresh: Path) -> None:
            require("Kafka", "mvn")
            copy_jars(HERE / "pom.xml", fresh)

        return installed(f"kafka-{VERSION}", build)

    def launch(self) -> None:
        """Write the configuration, format the log folder the first time, and start the broker."""
        data = self.folder / "data"
        properties = self.folder / "server.properties"
        text = (HERE / "server.properties").read_text()
        more = "".join(f"{name}={value}\n" for name, value in self._settings.items())
        properties.write_text(
            text.format(port=self.port, controller_port=free_port(beside=(self.port,)), data=data) + more
        )
        program = find_java("Kafka", at_least=JAVA).program()
        java = [program, *self.java_options, "-cp", f"{self.install()}/*"]
        if not (data / "meta.properties").exists():
            tool = ["kafka.tools.StorageTool", "format", "-t", _cluster_id(), "-c", properties]
            run([*java, *tool], cwd=self.folder, env={**os.environ, "LC_ALL": "C"})
        quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        self.process.spawn([*java, quiet, "kafka.Kafka", properties])

    def answers(self) -> bool:
        """Whether the broker answers a metadata request."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        try:
            return bool(admin.list_topics(timeout=1).brokers)
        except KafkaException:
            return False


def _cluster_id() -> str:
    # One in 64 begins with a dash, which the tool takes for an option.
    return urlsafe_b64encode(b"\x00" + uuid4().bytes[1:]).decode().rstrip("=")
