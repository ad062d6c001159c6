"""The roles that make up the pipeline on one machine."""

from collections.abc import Mapping
from pathlib import Path

from streams.settings import Options
from streams.supervisor import RoleProcess

ROLES: dict[str, tuple[str, ...]] = {
    "cdc": ("cdc", "run"),
    "ingest": ("worker", "ingest"),
    "deliver": ("worker", "deliver"),
}


def pipeline(options: Options, environment: Mapping[str, str], *, config_file: Path | None = None) -> list[RoleProcess]:
    """Return the roles of the whole pipeline, not yet started; their logs go to `<data_dir>/run`.

    Args:
        options: the options in force.
        environment: variables that give child processes the same options.
        config_file: the file of options, if one was named.
    """
    folder = options.data_dir.resolve() / "run"
    named = ("--config", str(config_file.resolve())) if config_file is not None else ()
    return [
        RoleProcess(name, (*arguments, *named), folder=folder, env=environment) for name, arguments in ROLES.items()
    ]
