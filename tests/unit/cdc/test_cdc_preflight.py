import re
from typing import Any

import pytest
from msgspec import structs

from connectors.cdc.catalog import ServerInfo, TableInfo
from connectors.cdc.checking import check
from connectors.cdc.config import CdcConfig
from connectors.cdc.errors import Misconfigured
from connectors.cdc.filters import Filters
from connectors.cdc.found import Finding, Found
from connectors.cdc.outbox_options import Outbox, parse_field
from connectors.cdc.preflight import findings, require
from connectors.cdc.publication import Publication, published_operations
from connectors.cdc.slot import SlotState
from connectors.cdc.tables import Column, Indexes
from deploy.local.ports import free_port
from schemas.topics import Catalogue

CATALOGUE = Catalogue(tables=["public.users"])
SERVER = ServerInfo(
    version=130_000,
    system_id="1",
    database="travel",
    role="cdc",
    wal_level="logical",
    in_recovery=False,
    may_replicate=True,
    may_create=True,
    encoding="UTF8",
    slots_used=0,
    slots_allowed=10,
    sender_timeout_ms=60_000,
    current_lsn=1,
)
TABLE = TableInfo(
    oid=1,
    schema="public",
    name="users",
    kind="r",
    persistence="p",
    identity="d",
    owned=True,
    readable=True,
    row_security=False,
    owner="boss",
    estimated_rows=0,
    columns=(Column("id", 25, -1), Column("n", 25, -1)),
    indexes=Indexes(columns=("id", "n"), primary_key=("id",)),
)
CONFIG = CdcConfig(dsn="", topics=CATALOGUE.changes, offsets=CATALOGUE.cdc_offsets, name="cdc.travel")
LONG_TOPIC = {"public.users": structs.replace(CONFIG.topics["public.users"], name="x" * 250)}
USERS = frozenset({("public", "users")})
NO_KEY = Indexes(columns=("id", "n"))
PUBLISHED = Publication(tables=USERS)


def table(**changes: Any) -> TableInfo:
    return structs.replace(TABLE, **changes)


def looked(
    *tables: TableInfo,
    publication: Publication | None = None,
    slot: SlotState | None = None,
    config: CdcConfig = CONFIG,
    **server: Any,
) -> list[Finding]:
    return findings(config, Found(SERVER._replace(**server), list(tables or [TABLE]), publication, slot))


def test_a_server_that_is_ready_has_no_findings() -> None:
    assert looked() == []
    published = Publication(tables=frozenset({("public", "users")}))
    assert looked(publication=published, slot=SlotState(database="travel", restart_lsn=1)) == []


def test_operations_that_are_skipped_need_not_be_published() -> None:
    publication = Publication(operations=frozenset("cu"), tables=frozenset({("public", "users")}))
    config = structs.replace(CONFIG, filters=Filters(skipped_operations=("d", "t")))
    assert looked(publication=publication, config=config) == []
    assert published_operations(config.unpublished) == ["insert", "update", "truncate"]
    quiet = structs.replace(CONFIG, filters=Filters(skipped_operations=("c",)))
    assert published_operations(quiet.unpublished) == ["update", "delete", "truncate"]
    signalled = structs.replace(quiet, signal_table="public.signals")
    assert published_operations(signalled.unpublished) == ["insert", "update", "delete", "truncate"]


@pytest.mark.parametrize(
    ("found", "level", "text"),
    [
        (looked(version=120_000), "error", r"source\.dsn: PostgreSQL is older than 13"),
        (looked(wal_level="replica"), "error", r"wal_level is replica; ALTER SYSTEM SET wal_level = logical"),
        (looked(may_replicate=False), "error", r'role cdc has no REPLICATION; ALTER ROLE "cdc" REPLICATION'),
        (looked(in_recovery=True), "error", r"is a standby: PostgreSQL decodes WAL on standbys from 16 on; name the"),
        (
            looked(in_recovery=True, version=160_000, upstream_slot="s"),
            "error",
            r"a standby, which cannot create it; on the primary: CREATE PUBLICATION \"travelos\" FOR TABLE ONLY .*WITH",
        ),
        (
            looked(in_recovery=True, version=160_000, upstream_slot="s", feedback=False, publication=PUBLISHED),
            "warning",
            r"hot_standby_feedback off.*on the standby: ALTER SYSTEM SET hot_standby_feedback = on",
        ),
        (looked(in_recovery=True, version=160_000, publication=PUBLISHED), "warning", r"without primary_slot_name"),
        (looked(slots_used=10), "error", r"source\.slot: all 10 replication slots.*max_replication_slots = 11"),
        (looked(encoding="SQL_ASCII"), "warning", r"SQL_ASCII"),
        (
            looked(config=structs.replace(CONFIG, messages=CATALOGUE.cdc_offsets)),
            "warning",
            r"source\.messages: logical messages are streamed from PostgreSQL 14 on",
        ),
        (looked(may_create=False), "error", r'may not create it; GRANT CREATE ON DATABASE "travel" TO "cdc"'),
        (looked(table(kind="v")), "error", r"public\.users is no table"),
        (looked(table(persistence="u")), "error", r'unlogged.*ALTER TABLE "public"\."users" SET LOGGED'),
        (looked(table(readable=False)), "error", r'may not be read; GRANT USAGE ON SCHEMA "public".*GRANT SELECT'),
        (looked(table(row_security=True)), "error", r"row security hides rows.*BYPASSRLS"),
        (
            looked(table(owned=False)),
            "error",
            r'only the owner of public\.users.*CREATE PUBLICATION "travelos" FOR TABLE ONLY "public"\."users".*boss',
        ),
        (
            looked(publication=Publication(owned=False, owner="boss")),
            "error",
            r'lacks tables and belongs to boss; ALTER PUBLICATION "travelos" ADD TABLE ONLY "public"\."users" as boss',
        ),
        (
            looked(publication=Publication(operations=frozenset("cdt"), tables=frozenset({("public", "users")}))),
            "error",
            r"leaves out inserts, updates or deletes; ALTER PUBLICATION \"travelos\" SET \(publish",
        ),
        (
            looked(publication=Publication(row_filters={"public.users": "(n > 1)"}, tables=USERS)),
            "warning",
            r"leaves out rows of public\.users: a snapshot.*set source\.row_filters = \['public\.users=\(n > 1\)'\]",
        ),
        (
            looked(publication=Publication(left_out={"public.users": ("n",)}, tables=USERS)),
            "warning",
            r"leaves out columns of public\.users that a snapshot holds: n; leave them out with source\.exclude_col",
        ),
        (looked(senders_used=10, senders_allowed=10), "warning", r"all 10 WAL senders.*max_wal_senders = 11"),
        (
            looked(config=structs.replace(CONFIG, failover=True), version=160_000),
            "error",
            r"source\.failover: .*PostgreSQL 17",
        ),
        (
            looked(config=structs.replace(CONFIG, topics=LONG_TOPIC)),
            "error",
            r"topic x+ has 250 characters, Kafka takes 249; choose a shorter kafka\.topic_prefix",
        ),
        (
            looked(publication=Publication(tables=frozenset({("public", "users"), ("public", "x")}))),
            "warning",
            r"also publishes public\.x",
        ),
        (
            looked(table(kind="p"), publication=Publication(via_root=False, tables=frozenset({("public", "users")}))),
            "error",
            r"SET \(publish_via_partition_root = true\)",
        ),
        (looked(slot=SlotState(database="other")), "error", r"slot of plugin pgoutput for database other"),
        (looked(slot=SlotState(database="travel", plugin="wal2json")), "error", r"slot of plugin wal2json"),
        (looked(slot=SlotState(database="travel", wal_status="unreserved")), "warning", r"about to be lost"),
        (
            looked(table(indexes=Indexes(columns=("n",), primary_key=("id",)))),
            "error",
            r"holds a generated column",
        ),
    ],
)
def test_each_thing_that_is_wrong_is_one_line_that_says_what_mends_it(
    found: list[Finding], level: str, text: str
) -> None:
    [finding] = found
    assert finding.level == level
    assert "\n" not in str(finding)
    assert re.search(text, str(finding))


def test_a_missing_table_is_named() -> None:
    [finding] = findings(CONFIG, Found(SERVER, [], None, None))
    assert str(finding).startswith("source.tables: there is no table public.users")


def test_no_table_at_all_is_an_error() -> None:
    config = structs.replace(CONFIG, topics={})
    [finding] = findings(config, Found(SERVER, [], None, None))
    assert finding.problem == "names no table"


def test_a_table_without_a_key_is_warned_of_and_so_is_one_without_identity() -> None:
    key, identity = looked(table(indexes=NO_KEY))
    assert (key.level, identity.level) == ("warning", "warning")
    assert "has no primary key: its records have no key, so its topic is kept whole" in key.problem
    assert "refuses every UPDATE and DELETE" in identity.problem
    assert identity.remedy == 'ALTER TABLE "public"."users" REPLICA IDENTITY FULL'


def with_key(*columns: str, **filters: Any) -> CdcConfig:
    return structs.replace(CONFIG, filters=Filters(key_columns={".*": columns}, **filters))


def test_a_chosen_key_stands_for_the_primary_key_where_deletes_carry_it() -> None:
    assert looked(table(indexes=NO_KEY, identity="f"), config=with_key("n")) == []
    [missing] = looked(config=with_key("nothing"))
    assert str(missing).startswith("source.key_columns: public.users has no column nothing; name columns")
    [uncarried] = looked(config=with_key("n"))
    assert "deletes in public.users carry only its own key; ALTER TABLE" in str(uncarried)


def test_what_would_stop_the_source_at_its_first_row_is_told_before() -> None:
    masked = structs.replace(CONFIG, filters=Filters(mask_columns={".*\\.n": 3}))
    assert looked(config=masked) == []
    [finding] = looked(table(columns=(Column("id", 25, -1), Column("n", 23, -1))), config=masked)
    assert str(finding).startswith("source: only text can be masked, hashed or truncated, and column public.users.n")
    assert finding.remedy == 'leave it out with source.exclude_columns = ["public.users.n"]'
    outbox = Outbox(table="public.users", key="n", payload="body", route_by="n", fields=(parse_field("kind:header"),))
    found = looked(config=structs.replace(CONFIG, outbox=outbox))
    assert [one.option for one in found] == ["source.outbox_payload", "source.outbox_fields"]
    [elsewhere] = looked(config=structs.replace(CONFIG, outbox=Outbox(table="public.outbox")))
    assert str(elsewhere) == "source.outbox_table: public.outbox is not captured; add it to source.tables as well"


def test_a_signal_table_is_looked_for_and_belongs_to_the_publication() -> None:
    config = structs.replace(CONFIG, signal_table="public.signals")
    [missing] = looked(config=config)
    assert missing.option == "source.signal_table"
    assert missing.remedy.startswith("CREATE TABLE public.signals (id varchar(42) PRIMARY KEY")
    signals = table(oid=2, name="signals", owned=False)
    both = Publication(tables=USERS | {("public", "signals")})
    assert findings(config, Found(SERVER, [TABLE], both, None, signal_table=signals)) == []
    only = Publication(tables=USERS)
    [foreign] = findings(config, Found(SERVER, [TABLE], only, None, signal_table=signals))
    assert 'ALTER PUBLICATION "travelos" ADD TABLE ONLY "public"."signals" as boss' in foreign.remedy


def test_who_makes_the_publication_may_be_chosen() -> None:
    everything = structs.replace(CONFIG, publication_mode="all_tables")
    assert looked(table(owned=False), config=everything) == []
    [superuser] = looked(config=everything, is_superuser=False)
    assert "only a superuser may create a publication for all tables, and cdc is none" in superuser.problem
    [filtered] = looked(table(row_filter="n > 1"), config=everything, version=150_000)
    assert "cannot filter rows of public.users" in filtered.problem
    nobody = structs.replace(CONFIG, publication_mode="disabled")
    assert looked(publication=Publication(tables=USERS), config=nobody) == []
    [missing] = looked(config=nobody)
    assert missing.problem == "it is disabled, and travelos does not exist"
    assert missing.remedy.startswith('CREATE PUBLICATION "travelos" FOR TABLE ONLY "public"."users"')
    [lacking] = looked(publication=Publication(), config=nobody)
    assert lacking.remedy == 'ALTER PUBLICATION "travelos" ADD TABLE ONLY "public"."users"'


def test_row_filters_need_postgres_15_unless_there_is_no_publication() -> None:
    [finding] = looked(table(row_filter="n > 1"), version=140_000)
    assert "publications filter rows from PostgreSQL 15 on, and this is 14" in finding.problem
    only = structs.replace(CONFIG, snapshot="initial_only")
    assert looked(table(row_filter="n > 1"), version=140_000, config=only) == []


def test_two_tables_that_share_a_topic_are_an_error() -> None:
    topic = CONFIG.topics["public.users"]
    config = structs.replace(CONFIG, topics={"public.users": topic, "public.other": topic})
    [finding] = findings(config, Found(SERVER, [TABLE, table(name="other")], None, None))
    assert finding.problem == "public.other and public.users share topic cdc.travel.public.users"


def test_all_errors_are_reported_together_and_warnings_stop_nothing() -> None:
    with pytest.raises(Misconfigured) as refused:
        require(looked(wal_level="minimal", may_replicate=False, encoding="SQL_ASCII"))
    assert len(str(refused.value).splitlines()) == 2
    require(looked(encoding="SQL_ASCII"))


def test_a_server_that_does_not_answer_is_a_finding() -> None:
    config = structs.replace(CONFIG, dsn=f"postgresql://u:secret@127.0.0.1:{free_port()}/d")
    [finding] = check(config)
    assert (finding.level, finding.option) == ("error", "source.dsn")
    assert "secret" not in str(finding)


@pytest.mark.parametrize("dsn", ["garbage", "postgresql://u:se cret@h", "nonsense=secret"])
def test_a_dsn_that_cannot_be_read_is_never_quoted(dsn: str) -> None:
    [finding] = check(structs.replace(CONFIG, dsn=dsn))
    assert finding.option == "source.dsn"
    assert "no connection string" in finding.problem
    assert "cret" not in str(finding)
    assert "secret" not in repr(structs.replace(CONFIG, dsn=dsn))
