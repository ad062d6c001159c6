"""`pytest --sink mypackage:MySink`: runs the conformance kit on a sink of anybody's.

What is named is a sink class whose attribute `conformance` names its tests ("package.module:Class"), or these tests
themselves: a subclass of `connectors.sinks.conformance.SinkConformance`. Nothing else is collected then.
"""

import inspect
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

OPTION = "--sink"
AMONG = "--among"
_FILE = pytest.StashKey[Path]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    group = parser.getgroup("travelos", "conformance of sinks")
    group.addoption(OPTION, metavar="MODULE:CLASS", help="Run the conformance kit on this sink, and nothing else.")
    group.addoption(AMONG, metavar="N", type=int, help="Of so many writes one is bad; else as many as its tests say.")


def pytest_configure(config: pytest.Config) -> None:
    """Have the tests of the sink collected instead of what the command line names.

    Raises:
        pytest.UsageError: what `--sink` names is no sink, or does not say where its tests are.
    """
    target = config.getoption(OPTION)
    if target is None:
        return
    # As `python -m pytest` does: a package in the working directory is found.
    sys.path.insert(0, str(config.invocation_params.dir))
    tests = conformance_of(target)
    if (among := config.getoption(AMONG)) is not None:
        tests.among = among
    config.stash[_FILE] = Path(inspect.getfile(tests))
    config.addinivalue_line("python_classes", tests.__name__)
    config.args[:] = [f"{config.stash[_FILE]}::{tests.__name__}"]


@pytest.hookimpl(tryfirst=True)
def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Look for the tests of a sink also where pytest does not look by itself: in an installed package."""
    file = config.stash.get(_FILE, None)
    return None if file is None else not file.is_relative_to(collection_path)


def conformance_of(target: str) -> type[Any]:
    """Return the tests of what `--sink` names.

    Raises:
        pytest.UsageError: it names no class with tests; the message says what to write.
    """
    from connectors.sinks.conformance import SinkConformance  # noqa: PLC0415 - needs hypothesis; only with --sink

    kit: type[Any] = SinkConformance
    found = _class(target)
    if not issubclass(found, kit):
        place = getattr(found, "conformance", None)
        if not isinstance(place, str):
            raise pytest.UsageError(
                f"{OPTION} {target}: give the class an attribute `conformance` with the place of its tests, "
                '"package.module:Class", or name the tests themselves'
            )
        found = _class(place)
    if not issubclass(found, kit):
        raise pytest.UsageError(f"{OPTION} {target}: {found.__name__} does not inherit from SinkConformance")
    if inspect.isabstract(found):
        missing = ", ".join(sorted(found.__abstractmethods__))
        raise pytest.UsageError(f"{OPTION} {target}: {found.__name__} lacks {missing}")
    return found


def _class(place: str) -> type[Any]:
    module, _, name = place.partition(":")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise pytest.UsageError(f"{OPTION}: {place} cannot be loaded: {error}") from error
    if not inspect.isclass(found):
        raise pytest.UsageError(f"{OPTION}: {place} is no class; write package.module:Class")
    return found
