"""Where what belongs to no store lies: in the S3 of the store `objects`, else in a folder."""

from typing import NamedTuple

from msgspec import structs

from connectors.large_values import LargeValues
from connectors.large_values.store import LOCAL
from connectors.sinks.kinds import UnknownKind, kind_of
from connectors.storage import FolderStorage, Storage
from streams.settings import Options


class Place(NamedTuple):
    """An object store, not open, and the name of its bucket."""

    storage: Storage
    bucket: str


def place_of(options: Options, *, bucket: str, prefix: str) -> Place:
    """Return where objects with a prefix lie.

    Args:
        options: the options in force.
        bucket: another one than that of `stores.objects`; empty: that one.
        prefix: before their names, after that of the store; ends with "/".

    Raises:
        UnknownKind: the driver of S3 is not installed, or its options cannot be used.
    """
    objects = options.stores.objects
    if objects.kind != "s3":
        return Place(FolderStorage(options.data_dir.resolve() / prefix), LOCAL)
    kind = kind_of("objects", objects.kind)
    settled = kind.settle(objects.given(kind.names))
    if isinstance(settled, list):
        raise UnknownKind("; ".join(f"stores.objects.{one.name}: {one.reason}" for one in settled))
    from connectors.sinks.s3 import S3Options  # noqa: PLC0415 - needs boto3, which not everybody has
    from connectors.storage.s3 import S3Storage  # noqa: PLC0415

    assert isinstance(settled, S3Options)
    chosen = structs.replace(settled, bucket=bucket or settled.bucket, prefix=settled.prefix + prefix)
    return Place(S3Storage(chosen), chosen.bucket)


def warehouse_of(options: Options) -> Storage:
    """Return where the warehouse lies, not open.

    Raises:
        UnknownKind: it lies in no object store, or its options cannot be used.
    """
    chosen = options.stores.warehouse
    if chosen.kind != "s3":
        raise UnknownKind(f"stores.warehouse.kind is {chosen.kind!r}: only a warehouse of the kind 's3' can be loaded")
    kind = kind_of("warehouse", chosen.kind)
    settled = kind.settle(chosen.given(kind.names))
    if isinstance(settled, list):
        raise UnknownKind("; ".join(f"stores.warehouse.{one.name}: {one.reason}" for one in settled))
    from connectors.sinks.s3 import S3Options  # noqa: PLC0415 - needs boto3, which not everybody has
    from connectors.storage.s3 import S3Storage  # noqa: PLC0415

    assert isinstance(settled, S3Options)
    return S3Storage(settled, "stores.warehouse")


def large_values_of(options: Options) -> LargeValues:
    """Return where large values of events lie; nothing is connected before the first of them.

    Raises:
        UnknownKind: as `place_of`.
    """
    chosen = options.large_values
    storage, bucket = place_of(options, bucket=chosen.bucket, prefix=chosen.prefix)
    return LargeValues(storage, bucket=bucket, over_bytes=chosen.over_bytes, most_bytes=chosen.max_bytes)
