"""The stand-in for Pinecone in a process of its own, for load that it should not share a process with."""

import sys
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from deploy.local.server import Server

KEY_VARIABLE = "PINECONE_STAND_IN_KEY"


class PineconeProcess(Server):
    """The stand-in. What it holds is in its memory: it outlives its clients, and not itself."""

    name = "pinecone"
    default_port = 15080
    driver = "pinecone"

    @property
    def api_key(self) -> str:
        """The only key that is accepted."""
        return self.secret()

    @property
    def address(self) -> str:
        """The address of the control plane."""
        return f"http://127.0.0.1:{self.port}"

    @classmethod
    def install(cls) -> Path:
        """Return where it lies; there is nothing to install."""
        return Path(__file__).parent

    def launch(self) -> None:
        """Start the process."""
        command = [sys.executable, "-m", __package__ or "", str(self.port)]
        self.process.spawn(command, env={KEY_VARIABLE: self.api_key})

    def answers(self) -> bool:
        """Whether it lists its indexes."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/indexes", headers={"Api-Key": self.api_key})
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()
