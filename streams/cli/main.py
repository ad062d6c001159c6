"""The command line `travelos`."""

import typer

app = typer.Typer(
    name="travelos",
    help="Events and Postgres changes in, every fact in the stores where it belongs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Entry point of the `travelos` command."""
    app()
