"""The configurations in which ours is compared with Debezium: the same choice in our options and in Debezium's."""

from collections.abc import Mapping

from msgspec import Struct

from bench.cdc.workload.tables import OUTBOX, SCHEMA
from connectors.cdc.encoding import Encoding
from connectors.cdc.filters import Filters
from connectors.cdc.outbox_options import Outbox, parse_field

SALT = "pepper"


class Configuration(Struct, frozen=True, kw_only=True):
    """One choice of options.

    Attributes:
        name: of the configuration.
        about: what it compares, for the page of differences.
        debezium: Debezium's options.
        encoding: the same in ours.
        filters: the same in ours.
        tombstones: the same in ours.
        transactions: whether transactions are told of, by both.
        messages: whether logical messages are written and told of, by both.
        outbox: the same in ours, None for none. The tables are those of the workload and the outbox.
        incremental: whether both read tables again while they stream.
    """

    name: str
    about: str
    debezium: Mapping[str, str]
    encoding: Encoding = Encoding()
    filters: Filters = Filters()
    tombstones: bool = True
    transactions: bool = False
    messages: bool = False
    outbox: Outbox | None = None
    incremental: bool = False

    @property
    def truncates(self) -> bool:
        """Whether truncated tables are told of."""
        return "t" not in self.filters.skipped_operations


_SCHEMAS = {
    "converter.schemas.enable": "true",
    "key.converter.schemas.enable": "true",
    "value.converter.schemas.enable": "true",
}
_ROUTER = {
    "predicates": "outbox",
    "predicates.outbox.type": "org.apache.kafka.connect.transforms.predicates.TopicNameMatches",
    "predicates.outbox.pattern": rf".*\.{SCHEMA}\.{OUTBOX.name}",
    "transforms": "router",
    "transforms.router.type": "io.debezium.transforms.outbox.EventRouter",
    "transforms.router.predicate": "outbox",
}


def _router(**options: str) -> dict[str, str]:
    return {**_ROUTER, **{f"transforms.router.{name.replace('_', '.')}": value for name, value in options.items()}}


CONFIGURATIONS = (
    Configuration(name="defaults", about="our defaults", debezium={"decimal.handling.mode": "string"}),
    Configuration(
        name="debezium_defaults",
        about="Debezium's defaults with schemas, transaction metadata, logical messages and TRUNCATE",
        debezium={
            **_SCHEMAS,
            "include.unknown.datatypes": "true",
            "provide.transaction.metadata": "true",
            "skipped.operations": "none",
        },
        encoding=Encoding(
            schemas=True, decimals="precise", unknown_types="bytes", unavailable="placeholder", nulls="default"
        ),
        filters=Filters(skipped_operations=()),
        transactions=True,
        messages=True,
    ),
    Configuration(
        name="texts",
        about='schemas, `decimals = "double"`, `times = "isostring"`, `intervals = "string"`, `binary = "hex"`, '
        '`unknown_types = "omit"`, no tombstones',
        debezium={
            **_SCHEMAS,
            "decimal.handling.mode": "double",
            "time.precision.mode": "isostring",
            "interval.handling.mode": "string",
            "binary.handling.mode": "hex",
            "tombstones.on.delete": "false",
        },
        encoding=Encoding(
            schemas=True,
            decimals="double",
            times="isostring",
            intervals="string",
            binary="hex",
            unknown_types="omit",
            unavailable="placeholder",
            nulls="default",
        ),
        tombstones=False,
    ),
    Configuration(
        name="connect",
        about='schemas, `times = "connect"`, `binary = "base64"`, `hstore = "map"`',
        debezium={
            **_SCHEMAS,
            "decimal.handling.mode": "string",
            "time.precision.mode": "connect",
            "binary.handling.mode": "base64",
            "hstore.handling.mode": "map",
        },
        encoding=Encoding(
            schemas=True,
            times="connect",
            binary="base64",
            hstore="map",
            unknown_types="omit",
            unavailable="placeholder",
            nulls="default",
        ),
    ),
    Configuration(
        name="concealed",
        about='schemas, `times = "adaptive_time_microseconds"`, `binary = "base64-url-safe"`, masked, hashed, '
        "truncated and excluded columns, chosen keys",
        debezium={
            **_SCHEMAS,
            "decimal.handling.mode": "string",
            "time.precision.mode": "adaptive_time_microseconds",
            "binary.handling.mode": "base64-url-safe",
            "column.exclude.list": rf"{SCHEMA}\..*\.(c_int.*range|numbers)",
            "column.mask.with.5.chars": rf"{SCHEMA}\.(changing|every_type.*)\.(a|c_text)",
            f"column.mask.hash.v2.SHA-256.with.salt.{SALT}": rf"{SCHEMA}\.(by_index|every_type.*)\.(a|c_varchar_20)",
            "column.truncate.to.3.chars": rf"{SCHEMA}\.(toasted.*|every_type.*)\.(note|c_char_8|large)",
            "message.key.columns": rf"{SCHEMA}.no_key:n;{SCHEMA}.toasted_full:id,note",
        },
        encoding=Encoding(
            schemas=True,
            times="adaptive_time_microseconds",
            binary="base64-url-safe",
            unknown_types="omit",
            unavailable="placeholder",
            nulls="default",
        ),
        filters=Filters(
            exclude_columns=(rf"{SCHEMA}\..*\.(c_int.*range|numbers)",),
            mask_columns={rf"{SCHEMA}\.(changing|every_type.*)\.(a|c_text)": 5},
            hash_columns=(rf"{SCHEMA}\.(by_index|every_type.*)\.(a|c_varchar_20)",),
            hash_salt=SALT,
            truncate_columns={rf"{SCHEMA}\.(toasted.*|every_type.*)\.(note|c_char_8|large)": 3},
            key_columns={rf"{SCHEMA}.no_key": ("n",), rf"{SCHEMA}.toasted_full": ("id", "note")},
        ),
    ),
    Configuration(
        name="outbox",
        about="the outbox event router",
        debezium=_ROUTER,
        encoding=Encoding(decimals="precise"),
        outbox=Outbox(table=OUTBOX.full_name),
    ),
    Configuration(
        name="outbox_expanded",
        about="the outbox event router with schemas, expanded JSON, additional fields and tombstones",
        debezium={
            **_SCHEMAS,
            **_router(
                table_expand_json_payload="true",
                table_fields_additional_placement="type:header:eventType,shard:envelope:s",
                route_tombstone_on_empty_payload="true",
            ),
        },
        encoding=Encoding(schemas=True, decimals="precise"),
        outbox=Outbox(
            table=OUTBOX.full_name,
            expand_json=True,
            fields=(parse_field("type:header:eventType"), parse_field("shard:envelope:s")),
            tombstone_on_empty=True,
        ),
    ),
    Configuration(
        name="incremental",
        about="incremental snapshots",
        debezium={"decimal.handling.mode": "string"},
        incremental=True,
    ),
)
