"""Asks a role whether it is live, as Kubernetes would."""

from http import HTTPStatus
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

TIMEOUT_SECONDS = 2.0
_ANY = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - read, not bound

_opener = build_opener(ProxyHandler({}))  # no proxy knows our loopback


class LiveProbe:
    """The page `/live` of a role on this machine.

    Args:
        host: that it listens on.
        port: of the page.
    """

    def __init__(self, host: str, port: int) -> None:
        self.url = f"http://{_ANY.get(host, host)}:{port}/live"

    def __call__(self) -> bool:
        """Whether it answers within TIMEOUT_SECONDS that it is live; the caller waits for that long at most."""
        try:
            with _opener.open(self.url, timeout=TIMEOUT_SECONDS) as answer:
                return answer.status == HTTPStatus.OK
        except (URLError, OSError):  # 503, too: stuck
            return False
