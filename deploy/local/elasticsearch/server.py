"""A single-node Elasticsearch 9 from Maven Central's jars. Needs a JDK of 21 or newer and `mvn`.

What is in modules that are not on Maven Central is not there: scripts (painless), `_delete_by_query`,
`_update_by_query`, `_reindex`, ingest processors, TLS, users and roles. There is one user, `elastic`, and of the
language analyzers there is `english`, and on demand nori. The Java sources beside this file add what a client cannot do
without.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from deploy.local.install import copy_jars, installed, recipe_digest, run
from deploy.local.jvm import JvmServer
from deploy.local.ports import port_is_free
from deploy.local.programs import Java, find_java, require

HERE = Path(__file__).parent
VERSION = "9.5.3"
USER = "elastic"
OLDEST_JAVA = 21
# The network module has a class loader of its own: with these on the class path as well, classes would exist twice.
NETWORK_MODULE = ("transport-netty4-", "elasticsearch-ssl-config-", "netty-")
NORI = "analysis-nori"  # name of the plugin


class ElasticsearchServer(JvmServer):
    """A node with basic authentication whose data lie in `folder`; a second start finds the data of the first.

    The user `elastic` has a password that is made once and kept in `<folder>/password`.

    Args:
        folder: of its data, configuration and log.
        port: of its clients; None: a free one.
        heap: most memory of its Java heap.
        steady: as for all servers on a Java virtual machine.
        nori: whether it has Korean analysis, as with the plugin `analysis-nori`.
    """

    name = "elasticsearch"
    default_port = 19200
    driver = "elasticsearch"

    def __init__(
        self, folder: Path, *, port: int | None = None, heap: str = "512m", steady: bool = False, nori: bool = False
    ) -> None:
        super().__init__(folder, port=port, heap=heap, steady=steady)
        self.nori = nori

    @property
    def password(self) -> str:
        """The password of the user `elastic`."""
        return self.secret()

    @property
    def address(self) -> str:
        """The HTTP address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The HTTP address with user and password."""
        return f"http://{USER}:{self.password}@127.0.0.1:{self.port}"

    @classmethod
    def install(cls) -> Path:
        """Return the folder of jars and classes; the first time they are fetched and compiled (44 MB, some 10 s).

        Raises:
            ServerFailed: the JDK or `mvn` is missing, or a step failed.
        """
        java = _java()
        launcher, descriptor = HERE / "java" / "Launcher.java", HERE / "plugin-descriptor.properties"
        network, nori = (sorted((HERE / "java" / name).glob("*.java")) for name in ("plugin", "nori"))

        def build(fresh: Path) -> None:
            require("Elasticsearch", "mvn")
            library, module, plugin = fresh / "lib", fresh / "modules" / "transport-netty4", fresh / "plugins" / NORI
            copy_jars(HERE / "pom.xml", library)
            for folder, jars in ((module, NETWORK_MODULE), (plugin, ("lucene-analysis-nori-",))):
                folder.mkdir(parents=True)
                for jar in list(library.iterdir()):
                    if jar.name.startswith(jars):
                        jar.rename(folder / jar.name)
            compiler = [java.program("javac"), "--release", str(OLDEST_JAVA), "-cp"]
            run(
                [*compiler, f"{library}/*", "-d", fresh / "classes", launcher],
                cwd=fresh,
                purpose="compiling the launcher",
            )

            def make(folder: Path, sources: Sequence[Path], classname: str, description: str) -> None:
                said = descriptor.read_text().format(
                    name=folder.name, version=VERSION, classname=classname, description=description
                )
                (folder / descriptor.name).write_text(said)
                classes = fresh / f"{classname}-classes"
                run(
                    [*compiler, f"{library}/*:{folder}/*", "-d", classes, *sources],
                    cwd=fresh,
                    purpose=f"compiling {classname}",
                )
                run([java.program("jar"), "-c", "-f", folder / f"{classname}.jar", "-C", classes, "."], cwd=fresh)

            make(module, network, "LocalPlugin", "Netty 4 transport, authentication, the root page and a few analyzers")
            make(plugin, nori, "NoriPlugin", "Korean analysis")

        digest = recipe_digest(HERE / "pom.xml", descriptor, launcher, *network, *nori)
        return installed(f"elasticsearch-{VERSION}-{digest}", build)

    def launch(self) -> None:
        """Start the node."""
        programs = self.install()
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        plugins = self.folder / "plugins"
        shutil.rmtree(plugins, ignore_errors=True)  # of an earlier start
        if self.nori:
            shutil.copytree(programs / "plugins", plugins)
        options = [f"-Xms{self.heap}", *self.java_options]
        # Else vectors are compared without SIMD instructions.
        options += ["--add-modules=jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED"]
        options += [
            f"-Djava.io.tmpdir={temporary}",
            f"-Des.path.home={self.folder}",
            "-cp",
            f"{programs}/classes:{programs}/lib/*",
        ]
        arguments = ["Launcher", self.folder, programs / "modules", str(self.port)]
        # By the environment, because the arguments of a process are for everybody to see.
        self.process.spawn([_java().program(), *options, *arguments], env={"ELASTIC_PASSWORD": self.password})

    def answers(self) -> bool:
        """Whether the node says that it is ready for requests."""
        from elasticsearch import ApiError, Elasticsearch, TransportError  # noqa: PLC0415 - the client is an extra

        # The client warns of each connection that is refused: hundreds of lines that hid why a node had not started.
        if port_is_free(self.port):
            return False
        client = Elasticsearch(self.address, basic_auth=(USER, self.password), request_timeout=20, max_retries=0)
        try:
            # yellow: on a single node no replica is ever placed.
            health = client.cluster.health(wait_for_status="yellow", timeout="2s")
        except (ApiError, TransportError):
            return False
        finally:
            client.close()
        return not health["timed_out"]


def _java() -> Java:
    return find_java("Elasticsearch", at_least=OLDEST_JAVA, compiler=True)
