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
ARCHIVE = "archive"  # on by `archive.enabled`
SAGAS = "sagas"  # on by `sagas.enabled`
ERASURE = "erasure"  # on by `erasure.enabled`
PORTS = ("ingest", "deliver", "cdc", SAGAS, ARCHIVE, ERASURE)  # in the order of their ports: workers had theirs first


def pipeline(options: Options, environment: Mapping[str, str], *, first_port: int = 0) -> list[RoleProcess]:
    """Return the roles of the whole pipeline, not yet started; their logs go to `<data_dir>/run`.

    Args:
        options: the options in force.
        environment: variables that give child processes the same options.
        first_port: where ingest serves what it says of itself, deliver on the port after it, cdc, sagas, the archive
            and erasure on the next; 0: none does.
    """
    folder = options.data_dir.resolve() / "run"
    serving = ROLES | ({SAGAS: ("worker", SAGAS)} if options.sagas.enabled else {})
    serving |= {ARCHIVE: ("archive", "run")} if options.archive.enabled else {}
    serving |= {ERASURE: ("erasure", "run")} if options.erasure.enabled else {}
    commands = with_ports(first_port, serving)
    return [RoleProcess(name, arguments, folder=folder, env=environment) for name, arguments in commands.items()]


def with_ports(first_port: int, roles: Mapping[str, tuple[str, ...]] = ROLES) -> dict[str, tuple[str, ...]]:
    """Return the arguments of the roles, each with its port; 0: none serves anything, whatever `worker.port` says."""
    if not first_port:
        return {
            name: (*arguments, "--port", "0") if arguments[0] == "worker" else arguments
            for name, arguments in roles.items()
        }
    return {name: (*arguments, "--port", str(first_port + PORTS.index(name))) for name, arguments in roles.items()}


def stop_left_behind(data_dir: Path) -> None:
    """Stop roles that a killed run left running, while the servers they talk to may still be there."""
    Supervisor(
        [RoleProcess(name, (), folder=data_dir / "run", env={}) for name in (*ROLES, ARCHIVE, SAGAS, ERASURE)]
    ).stop()
