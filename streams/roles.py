"""The roles that make up the pipeline on one machine."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from streams.live_probe import LiveProbe
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
    return [
        RoleProcess(name, arguments, folder=folder, env=environment, is_live=probe_of(options.worker.host, arguments))
        for name, arguments in with_ports(first_port, serving).items()
    ]


def probe_of(host: str, arguments: Sequence[str]) -> LiveProbe | None:
    """Return what asks a role whether it is live, None where it has no port."""
    port = int(arguments[-1]) if "--port" in arguments else 0
    return LiveProbe(host, port) if port else None


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
