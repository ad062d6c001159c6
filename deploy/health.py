"""Whether the roles of `travelos run` are alive: `python -m deploy.health FOLDER`, the container's health check.

The folder is the one of the roles' pid files, `<data_dir>/run`. Exit code 0 when there are roles and all run; else 1,
and those that do not are printed. It imports little, because it runs every half minute.
"""

import sys
from pathlib import Path

from deploy.local.process import ServerProcess


def not_running(folder: Path) -> list[str]:
    """Return the roles that were started and do not run; all of them are missing when there is no folder yet."""
    roles = sorted(file.stem for file in folder.glob("*.pid"))
    return [role for role in roles if ServerProcess(role, folder).pid is None] if roles else ["no role was started"]


def main() -> int:
    """Print what is not as it should be and return the exit code."""
    problems = not_running(Path(sys.argv[1]))
    print("; ".join(problems) or "all roles run")  # noqa: T201 - this is the output, which `docker inspect` shows
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
