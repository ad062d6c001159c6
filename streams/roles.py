"""The roles that make up the pipeline on one machine."""

from collections.abc import Mapping
from pathlib import Path

from streams.settings import Options
from streams.supervisor import RoleProcess, Supervisor

ROLES: dict[str, tuple[str, ...]] = {
    "cdc": ("cdc", "run"),
    "ingest": ("worker", "ingest"),
    "deliver": ("worker", "deliver"),
}


def pipeline(options: Options, environment: Mapping[str, str]) -> list[RoleProcess]:
    """Return the roles of the whole pipeline, not yet started; their logs go to `<data_dir>/run`.

    Args:
        options: the options in force.
        environment: variables that give child processes the same options.
    """
    folder = options.data_dir.resolve() / "run"
    return [RoleProcess(name, arguments, folder=folder, env=environment) for name, arguments in ROLES.items()]


def stop_left_behind(data_dir: Path) -> None:
    """Stop roles that a killed run left running, while the servers they talk to may still be there."""
    Supervisor([RoleProcess(name, (), folder=data_dir / "run", env={}) for name in ROLES]).stop()
