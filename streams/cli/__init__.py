"""The command line, a module for each command."""

from streams.cli.main import main

__all__ = ["main"]
