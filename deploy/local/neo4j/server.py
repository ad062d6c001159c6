# pyright: reportUnknownMemberType=false
"""A single-node Neo4j Community 5 from Maven Central's jars, Bolt only. Needs Java 17 to 24 and `mvn`."""

from pathlib import Path

from deploy.local.install import copy_jars, installed, run
from deploy.local.jvm import JvmServer
from deploy.local.programs import Java, find_java, require

HERE = Path(__file__).parent
VERSION = "5.26.30"
USER = "neo4j"
# Neo4j's start script opens these to its own jars.
OPENED = ("java.nio", "sun.nio.ch", "java.util.concurrent", "java.lang", "java.io")


class Neo4jServer(JvmServer):
    """A server with authentication whose data lie in `folder`; a second start finds the data of the first.

    The user `neo4j` has a password that is made once and kept in `<folder>/password`. A vector index quantises by
    default, and then misses exact matches of short vectors: set its `vector.quantization.enabled` to false.
    """

    name = "neo4j"
    default_port = 17687
    driver = "neo4j"

    @property
    def password(self) -> str:
        """The password of the user `neo4j`."""
        return self.secret()

    @property
    def address(self) -> str:
        """The Bolt address."""
        return f"bolt://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The Bolt address with user and password."""
        return f"bolt://{USER}:{self.password}@127.0.0.1:{self.port}"

    @classmethod
    def install(cls) -> Path:
        """Return the folder of the jars; the first time they are fetched (123 MB, some 10 s).

        Raises:
            ServerFailed: Java or `mvn` is missing, or `mvn` failed.
        """
        _java()

        def build(fresh: Path) -> None:
            require("Neo4j", "mvn")
            copy_jars(HERE / "pom.xml", fresh)

        return installed(f"neo4j-{VERSION}", build)

    def launch(self) -> None:
        """Write the configuration, set the password the first time, and start the server."""
        configuration = self.folder / "conf"
        configuration.mkdir(exist_ok=True)
        text = (HERE / "neo4j.conf").read_text()
        (configuration / "neo4j.conf").write_text(text.format(port=self.port, heap=self.heap))
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        java = [_java().program(), *self.java_options, "-cp", f"{self.install()}/*"]
        if not (home / "data" / "databases").exists():
            self._set_password(java, home, configuration)
        opened = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENED]
        main = ["org.neo4j.server.CommunityEntryPoint", f"--home-dir={home}", f"--config-dir={configuration}"]
        self.process.spawn([*java, f"-Xms{self.heap}", *opened, *main, "--console-mode"])

    def answers(self) -> bool:
        """Whether the server runs a query."""
        from neo4j import GraphDatabase  # noqa: PLC0415 - the driver is an extra
        from neo4j.exceptions import DriverError, Neo4jError  # noqa: PLC0415

        try:
            with (
                GraphDatabase.driver(self.address, auth=(USER, self.password), connection_timeout=2) as driver,
                driver.session(database="neo4j") as session,
            ):
                return session.run("RETURN 1").single(strict=True).value() == 1
        except (DriverError, Neo4jError):
            return False

    def _set_password(self, java: list[str | Path], home: Path, configuration: Path) -> None:
        self.secret()
        environment = {"NEO4J_HOME": str(home), "NEO4J_CONF": str(configuration)}
        # A file of arguments, because the arguments of a process are for everybody to see.
        command = ["org.neo4j.cli.AdminTool", "dbms", "set-initial-password", f"@{self.folder / 'password'}"]
        run([*java, *command], cwd=self.folder, env=environment)


def _java() -> Java:
    return find_java("Neo4j", at_least=17, below=25)
