"""Whether the roles of `travelos run` are well: `python -m deploy.health FOLDER [PORT...]`, the image's health check.

The folder is the one of the roles' pid files, `<data_dir>/run`; the ports are those where workers serve /live. Exit
code 0 when there are roles, all run, and no worker is stuck; else 1, and what is not so is printed. It imports little,
because it runs every half minute.
"""

import http.client
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploy.local.process import ServerProcess

ANSWER_SECONDS = 4.0


def not_running(folder: Path) -> list[str]:
    """Return the roles that were started and do not run; all of them are missing when there is no folder yet."""
    roles = sorted(file.stem for file in folder.glob("*.pid"))
    return [role for role in roles if ServerProcess(role, folder).pid is None] if roles else ["no role was started"]


def not_live(ports: Sequence[int]) -> Iterator[str]:
    """Yield what workers say that serve /live on these ports of this machine, when they are stuck or do not answer."""
    for port in ports:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
        try:
            connection.request("GET", "/live")
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            yield f"port {port}: {error or type(error).__name__}"
        else:
            if answer.status != http.client.OK:
                yield f"port {port}: {text}"
        finally:
            connection.close()


def main() -> int:
    """Print what is not as it should be and return the exit code."""
    folder, *ports = sys.argv[1:]
    problems = [*not_running(Path(folder)), *not_live([int(port) for port in ports])]
    print("; ".join(problems) or "all roles run")  # noqa: T201 - this is the output, which `docker inspect` shows
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
