"""Users' keys as the options say: which store, which master keys."""

from pathlib import Path
from typing import TYPE_CHECKING

from connectors.keys import KeyStore, SQLiteKeyStore, UserKeys
from connectors.keys.rings import KeyRing
from connectors.sinks.errors import Fatal
from streams.settings import Options
from streams.settings.keys import Keys

if TYPE_CHECKING:
    from connectors.keys.kms import Kms

FOLDER = Path("keys")  # below `data_dir`
STORE_FILE, MASTER_FILE = FOLDER / "user-keys.db", FOLDER / "master.keys"


def keys_of(options: Options) -> UserKeys | None:
    """Return the keys of users, not open; None where sensitive fields stay as they come.

    Raises:
        Fatal: options contradict each other, or a driver is missing; names the option and the fix.
    """
    chosen = options.keys
    if chosen.store in {"", "off"}:
        return None
    return UserKeys(
        store_of(options),
        ring_of(options).read,
        cache_entries=chosen.cache_entries,
        cache_seconds=chosen.cache_seconds,
    )


def store_of(options: Options) -> KeyStore:
    """Return where the keys lie, not open. Raises as `keys_of`."""
    if options.keys.store != "postgres":
        return SQLiteKeyStore(options.data_dir.resolve() / STORE_FILE)
    from connectors.keys.postgres import PostgresKeyStore  # noqa: PLC0415 - loads libpq, which few need for this

    url = options.keys.url.get_secret_value()
    if not url:
        raise Fatal("`keys.store` is postgres and `keys.url` is empty; name the database")
    return PostgresKeyStore(url)


def ring_of(options: Options) -> KeyRing:
    """Return where the master keys come from. Raises as `keys_of`."""
    chosen = options.keys
    text = chosen.master_keys.get_secret_value()
    # Where several machines share a store, each would make a master key of its own.
    may_make = chosen.store == "sqlite" and chosen.master_file is None and not chosen.kms_key
    path = master_file_of(options)
    if not chosen.kms_key:
        return KeyRing(text=text, path=path, may_make=may_make)
    return KeyRing(text=text, path=path, decrypt=kms_of(chosen).decrypt)


def kms_of(chosen: Keys) -> "Kms":
    """Return the key of KMS that encrypts master keys. Raises as `keys_of`."""
    try:
        from connectors.keys.kms import Kms, kms_client  # noqa: PLC0415 - needs boto3, which not everybody has
    except ImportError:
        raise Fatal("`keys.kms_key` needs boto3: install the extra s3") from None
    return Kms(kms_client(chosen.kms_region, chosen.kms_endpoint), chosen.kms_key)


def master_file_of(options: Options) -> Path:
    """Return where the file of master keys is."""
    return options.keys.master_file or options.data_dir.resolve() / MASTER_FILE
