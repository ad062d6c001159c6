"""Options as a file of variables that a shell reads."""

import shlex
from collections.abc import Mapping
from pathlib import Path


def write_env_file(path: Path, variables: Mapping[str, str]) -> None:
    """Write the variables so that `. FILE` sets them. Only we can read the file, for they hold secrets.

    Whoever reads it meanwhile sees the old content or the new one, never a part.

    Raises:
        OSError: the folder cannot be written.
    """
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()))
    fresh.rename(path)
