"""The role erasure as the options say."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prometheus_client import CollectorRegistry

from streams.app import group_of as group_of_role
from streams.archive.plan import group_of as archive_group_of
from streams.archive.plan import plan_of, storage_of
from streams.erasure.archived import ArchivedRecords
from streams.erasure.eraser import Eraser, Parts
from streams.erasure.metrics import ErasureMetrics
from streams.erasure.plain import PlainEvents, Plan
from streams.erasure.signing import signing_key
from streams.erasure.stores import Stores
from streams.erasure.worker import ErasureWorker
from streams.key_metrics import register_keys
from streams.keys import keys_of
from streams.object_storage import place_of
from streams.runtime.faults import FaultPoints
from streams.settings import Options
from streams.stores import sink_of

FOLDER = "erasure"  # below `data_dir`


def worker_of(options: Options, registry: CollectorRegistry) -> ErasureWorker:
    """Return a worker of the role, which has not begun.

    Args:
        options: of all roles.
        registry: where its metrics are added.

    Raises:
        Fatal: the signing key or users' keys cannot be used; names the option.
        UnknownKind: a store's driver is not installed, or its options cannot be used.
    """
    large = options.large_values
    parts = Parts(
        connection=options.kafka.connection(),
        catalogue=options.catalogue(),
        stores=Stores(lambda store: sink_of(store, options)),
        large_values=place_of(options, bucket=large.bucket, prefix=large.prefix).storage,
        keys=keys_of(options),
        policy=options.erasure.policy,
        rewrite=options.erasure.rewrite,
        signing_key=key_of(options, may_make=True),
        certificates=certificates_of(options),
        archived=options.archive.enabled and options.erasure.archive == "keep",
        archive=_archive_of(options),
        faults=FaultPoints.from_environment(),
    )
    # By the other policy nothing is given that would be sealed with another key.
    remembered = options.keys.cache_seconds if parts.keys is not None and parts.policy == "afresh" else 0
    if parts.keys is not None:
        register_keys(parts.keys, registry)
    return ErasureWorker(
        parts.connection,
        parts.catalogue,
        group_of(options),
        Eraser(parts),
        remembered,
        metrics=ErasureMetrics(registry),
        plain=_plain_of(options),
    )


def _archive_of(options: Options) -> ArchivedRecords | None:
    if not options.archive.enabled or options.erasure.archive == "keep":
        return None
    connection, group = options.kafka.connection(), archive_group_of(options)
    return ArchivedRecords(connection, options.catalogue(), group, plan_of(options), storage_of(options))


def _plain_of(options: Options) -> PlainEvents | None:
    if not options.erasure.plain_minutes:
        return None
    catalogue = options.catalogue()
    topics = (catalogue.user_events, catalogue.gps_events, catalogue.urgent_events)
    names = [topic.name for topic in topics]
    taken_by = {group_of_role("ingest", options): names}
    if options.archive.enabled:
        taken_by[archive_group_of(options)] = plan_of(options).topics(names)
    plan = Plan(
        topics=topics,
        claims=catalogue.event_claims,
        taken_by=taken_by,
        minutes=options.erasure.plain_minutes,
    )
    return PlainEvents(options.kafka.connection(), plan)


def key_of(options: Options, *, may_make: bool = False) -> Ed25519PrivateKey:
    """Return the key that certificates are signed with. Raises `Fatal` as `signing_key`."""
    chosen = options.erasure.signing_key_file
    path = chosen or options.data_dir.resolve() / FOLDER / "signing-key.pem"
    return signing_key(path, may_make=may_make and chosen is None)


def certificates_of(options: Options) -> Path:
    """Return the folder of the certificates."""
    return options.erasure.certificates or options.data_dir.resolve() / FOLDER / "certificates"


def group_of(options: Options) -> str:
    """Return the consumer group of the role."""
    return f"{options.kafka.topic_prefix}travelos-erasure"
