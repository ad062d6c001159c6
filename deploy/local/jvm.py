"""What servers on a Java virtual machine have in common."""

from pathlib import Path

from deploy.local.server import Server


class JvmServer(Server):
    """A server on a Java virtual machine.

    Args:
        folder: of its data, configuration and log.
        port: of its clients; None: a free one.
        heap: most memory of its Java heap.
        steady: whether what it does often is compiled as well as the machine can, as its maker ships it. Else only
            quickly, so that it is up and warm in a fraction of the time: tests and a demo never come to gain from more.
            A benchmark does, once it is warm.
    """

    def __init__(self, folder: Path, *, port: int | None = None, heap: str = "512m", steady: bool = False) -> None:
        super().__init__(folder, port=port)
        self.heap = heap
        self.steady = steady

    @property
    def java_options(self) -> list[str]:
        """Of memory, collector and compiler."""
        # Of a core or two, a collector with threads of its own takes from the server.
        options = [f"-Xmx{self.heap}", "-XX:+UseSerialGC"]
        return options if self.steady else [*options, "-XX:TieredStopAtLevel=1"]
