"""Build `influxd` with its query engine Flux: a Go program with a Rust library in it.

The web interface is left out. Four minutes of CPU time go into the Rust library, most of the rest into Go.
"""

import os
import shutil
from pathlib import Path

from deploy.local.install import run
from deploy.local.programs import require

VERSION = "2.7.12"
FLUX_VERSION = "0.196.1"  # the one in the go.mod of VERSION
INFLUX_MODULE = "github.com/influxdata/influxdb/v2"
FLUX_MODULE = "github.com/influxdata/flux"

# What Flux's own pkg-config wrapper would write; the wrapper wants a git checkout.
_FLUX_PC = """Name: Flux
Description: libflux
Version: {version}
Libs: -L{library} -l:libflux.a -ldl -lm -lpthread
Cflags: -I{include}
"""


def build(fresh: Path) -> None:
    """Build `<fresh>/influxd`.

    Raises:
        ServerFailed: a program is missing or a step failed.
    """
    require("InfluxDB", "go", "cargo", "cc", "pkg-config")
    work = fresh / "work"
    work.mkdir()
    # The sources come without the git data that Go would stamp into the program. Go's cache remembers where the Rust
    # library lay, and a later build would look for it in the folder of an earlier one: each build has its own cache.
    environment = {**os.environ, "GOFLAGS": "-buildvcs=false", "GOCACHE": str(work / "go-cache")}
    run(["go", "mod", "init", "local/influxdb"], cwd=work, env=environment)
    modules = [f"{INFLUX_MODULE}@v{VERSION}", f"{FLUX_MODULE}@v{FLUX_VERSION}"]
    run(["go", "mod", "download", *modules], cwd=work, env=environment, purpose="fetching InfluxDB's sources")
    module_cache = Path(run(["go", "env", "GOMODCACHE"], cwd=work, env=environment).strip())
    sources, flux = (
        _writable_copy(module_cache / module, work / name)
        for module, name in zip(modules, ("influxdb", "flux"), strict=True)
    )
    (flux / "rust-toolchain.toml").unlink(missing_ok=True)  # asks for one exact compiler; newer ones do as well
    run(
        ["cargo", "build", "--release", "--locked", "-p", "flux"],
        cwd=flux / "libflux",
        env={**environment, "RUSTFLAGS": "--cap-lints warn"},  # newer compilers warn of more, and Flux denies warnings
        purpose="building Flux with cargo (some 3 minutes)",
    )
    pkg_config = work / "pkg-config"
    pkg_config.mkdir()
    library, include = flux / "libflux" / "target" / "release", flux / "libflux" / "include"
    (pkg_config / "flux.pc").write_text(_FLUX_PC.format(version=FLUX_VERSION, library=library, include=include))
    flags = f"-s -w -X main.version=v{VERSION}"
    run(
        ["go", "build", "-trimpath", "-ldflags", flags, "-o", fresh / "influxd", "./cmd/influxd"],
        cwd=sources,
        env={**environment, "PKG_CONFIG_PATH": str(pkg_config)},
        purpose="building InfluxDB with go (some 3 minutes)",
    )
    shutil.rmtree(work)


def _writable_copy(module: Path, target: Path) -> Path:
    """Copy a module out of Go's cache, which is read-only."""
    shutil.copytree(module, target)
    for path in (target, *target.rglob("*")):
        path.chmod(path.stat().st_mode | 0o200)
    return target
