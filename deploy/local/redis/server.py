# pyright: reportUnknownMemberType=false
"""Redis: the `redis-server` on the PATH, else Debian's package unpacked into the cache folder."""

import shutil
from pathlib import Path

from deploy.local.debian import library_path, unpack
from deploy.local.install import installed
from deploy.local.process import ServerFailed
from deploy.local.server import Server

HERE = Path(__file__).parent
PROGRAM = "redis-server"


class RedisServer(Server):
    """A server with a password and an append-only file in `folder`; a second start finds the data of the first.

    The password is made once and kept in `<folder>/password`.
    """

    name = "redis"
    default_port = 16379
    driver = "redis"
    settings = ""  # further lines of redis.conf
    arguments: tuple[str, ...] = ()  # behind the configuration file

    @property
    def password(self) -> str:
        """The password of the default user."""
        return self.secret()

    @property
    def address(self) -> str:
        """The address of database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def url(self) -> str:
        """The address of database 0 with the password."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    @classmethod
    def install(cls) -> Path:
        """Return the folder that `redis-server` lies in; without one on the PATH Debian's is fetched (2 MB, seconds).

        Raises:
            ServerFailed: there is none, and Debian's cannot be fetched.
        """
        on_path = shutil.which(PROGRAM)
        if on_path is not None:
            return Path(on_path).parent
        return installed("redis-debian", _build) / "usr" / "bin"

    def launch(self) -> None:
        """Write the configuration, readable by the owner only, and start the server."""
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        configuration = self.folder / "redis.conf"
        configuration.touch(mode=0o600)
        text = (HERE / "redis.conf").read_text()
        configuration.write_text(text.format(port=self.port, data=data, password=self.password) + self.settings)
        program = self.install() / PROGRAM
        self.process.spawn([program, configuration, *self.arguments], env=_library_path(program))

    def answers(self) -> bool:
        """Whether the server answers a ping; while it loads its data it does not."""
        import redis  # noqa: PLC0415 - the client is an extra

        try:
            with redis.Redis.from_url(self.url, socket_timeout=2) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


def _build(fresh: Path) -> None:
    try:
        unpack(fresh, PROGRAM)
    except ServerFailed as error:
        raise ServerFailed(
            f"there is no `{PROGRAM}` on the PATH, and Debian's package cannot be fetched. {error}\n"
            "Install Redis 6 or newer, or renew apt's lists (`apt-get update`, as root)"
        ) from error


def _library_path(program: Path) -> dict[str, str]:
    """Return how the dynamic linker finds the libraries that were unpacked beside the program, if they were."""
    return {} if program == Path(shutil.which(PROGRAM) or "") else library_path(program.parents[2])
