"""`travelos keys`: master keys and their rotation, blind indexes, and sealed fields for those who may read them."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated

import typer

from connectors.keys import NotSealedHere, UserKeys
from connectors.keys.master import new_entry, ring_line
from connectors.keys.reading import Erased, FieldValue, unseal
from connectors.keys.rings import add_line
from connectors.sinks.errors import SinkError
from schemas.sensitive import normalised
from streams.cli.common import AsJson, ConfigFile, Exit, fail, load_options, out, print_json
from streams.keys import STORE_FILE, keys_of, kms_of, master_file_of
from streams.settings import Options

app = typer.Typer(help="Keys of users, which sensitive fields are sealed with.", no_args_is_help=True)

FieldName = Annotated[str, typer.Argument(metavar="FIELD", help="Name of the field, as email.", show_default=False)]


@app.command("new-master")
def new_master(
    show: Annotated[bool, typer.Option("--print", help="Print the line, for a variable, and write no file.")] = False,
    config: ConfigFile = None,
) -> None:
    """Make a master key, the newest from now on, and add it to `keys.master_file`. Running workers find it there.

    Exit codes: 0 made, 1 the file or KMS cannot be used, 2 wrong options.
    """
    options = load_options(config)
    try:
        entry = new_entry()
        if options.keys.kms_key:
            entry = entry._replace(material=kms_of(options.keys).new_material())
        if show:
            out.print(ring_line(entry).strip(), highlight=False, markup=False, soft_wrap=True)
            return
        if options.keys.master_keys.get_secret_value():
            fail("the ring is in keys.master_keys: add what `travelos keys new-master --print` prints", Exit.USAGE)
        path = master_file_of(options)
        add_line(path, ring_line(entry))
    except SinkError as error:
        fail(str(error))
    out.print(f"{entry.id} is the newest master key of {path}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def rotate(config: ConfigFile = None) -> None:
    """Have the keys of all users wrapped by the newest master key, while workers go on. May be repeated.

    Exit codes: 0 all are, 1 keys cannot be had, 2 wrong options.
    """
    with _opened(load_options(config)) as keys:
        count, newest = keys.rewrap(), keys.masters.newest
    text = f"{count} keys wrapped anew; the keys of all users are wrapped by {newest}"
    out.print(text, highlight=False, markup=False, soft_wrap=True)


@app.command()
def index(
    field: FieldName,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="In any spelling.", show_default=False)],
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Print the blind indexes of a value, by the newest master key first: look for any of them beside the field.

    Exit codes: 0 printed, 1 keys cannot be had, 2 wrong options.
    """
    with _opened(load_options(config)) as keys:
        found = list(keys.masters.indexes(field, normalised(field, value)))
    if as_json:
        print_json(found)
        return
    for one in found:
        out.print(one, highlight=False, markup=False, soft_wrap=True)


@app.command("unseal")
def unseal_field(
    user: Annotated[str, typer.Argument(metavar="USER", help="Whose field it is.", show_default=False)],
    field: FieldName,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="What stands in it.", show_default=False)],
    config: ConfigFile = None,
) -> None:
    """Print what was sealed in a field.

    Exit codes: 0 printed, 1 it is erased, or keys cannot be had, 2 wrong options.
    """
    with _opened(load_options(config)) as keys:
        try:
            (found,) = unseal(keys, [FieldValue(user, field, value)])
        except NotSealedHere as error:
            fail(str(error))
    if isinstance(found, Erased):
        fail(f"{field} of {user} is erased: its key is gone")
    out.print(found, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def _opened(options: Options) -> Generator[UserKeys]:
    """Give the keys, open; leave with USAGE when there are none, and with FAILED when they cannot be had."""
    try:
        keys = keys_of(options)
        if keys is None:
            file = options.data_dir / STORE_FILE
            fail(f"keys.store (TRAVELOS_KEYS_STORE) names no store: sqlite is {file}, else postgres", Exit.USAGE)
        try:
            keys.open()
            yield keys
        finally:
            keys.close()
    except SinkError as error:
        fail(str(error))
