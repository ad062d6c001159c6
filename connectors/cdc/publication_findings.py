"""What there is to say about the publication, before it is created or used. Pure."""

from collections.abc import Iterable, Iterator

from connectors.cdc.catalog import TableInfo
from connectors.cdc.config import CdcConfig
from connectors.cdc.found import Finding, Found
from connectors.cdc.publication import Publication, published_operations, replacement, table_list
from connectors.cdc.row_filters import FILTERS_SINCE
from connectors.cdc.tables import key_columns


def column_list(config: CdcConfig, table: TableInfo) -> tuple[str, ...]:
    """Return the columns of a table that the server has to send; empty for all, also those that are added later.

    Never fewer than a key, a row filter's columns aside: a publication that leaves out columns of the replica identity
    has the server refuse every UPDATE and DELETE. So a table whose identity is the whole row has no list, and neither
    has a partitioned one, because each partition has an identity of its own.
    """
    name, filters = str(table), config.filters
    special = (config.signal_table, config.outbox.table if config.outbox is not None else "")
    if not filters.push_down_columns or table.kind != "r" or table.identity not in ("d", "i") or name in special:
        return ()
    key = {*key_columns(table.identity, table.indexes), *table.indexes.primary_key, *(filters.key_of(name) or ())}
    needed = [one.name for one in table.columns if one.name in key or filters.shows(name, one.name)]
    return tuple(needed) if len(needed) < len(table.columns) else ()


def publication_findings(config: CdcConfig, found: Found) -> Iterator[Finding]:
    """Yield what is not as it should be with the publication, row filters and columns included."""
    yield from _row_filters(config, found)
    publication, option = found.publication, "source.publication"
    identifier = f'"{config.publication}"'
    lacking = found.to_publish if publication is None else publication.missing(found.to_publish)
    if config.publication_mode == "disabled" and lacking:
        yield Finding(
            "error",
            "source.publication_mode",
            f"it is disabled, and {config.publication} "
            + ("does not exist" if publication is None else "lacks tables"),
            _statement(identifier, lacking, publication),
        )
        return
    if config.publication_mode == "all_tables" and publication is None:
        yield from _all_tables(found)
        return
    foreign = [table for table in lacking if not table.owned]
    for table in foreign:
        yield Finding(
            "error",
            option,
            f"only the owner of {table} may add it to a publication",
            f"{_statement(identifier, [table], publication)} as {table.owner}",
        )
    if publication is None:
        if not found.server.may_create and not foreign:
            yield Finding(
                "error",
                option,
                f"{config.publication} does not exist and {found.server.role} may not create it",
                f'GRANT CREATE ON DATABASE "{found.server.database}" TO "{found.server.role}"',
            )
        return
    if lacking and not publication.owned and not foreign:
        yield Finding(
            "error",
            option,
            f"{config.publication} lacks tables and belongs to {publication.owner}",
            f"{_statement(identifier, lacking, publication)} as {publication.owner}",
        )
    skipped = config.unpublished
    if not set("cud").difference(skipped) <= publication.operations:
        yield Finding(
            "error",
            option,
            f"{config.publication} leaves out inserts, updates or deletes",
            f"ALTER PUBLICATION {identifier} SET (publish = '{', '.join(published_operations(skipped))}')",
        )
    yield from _left_out(config, found, publication)
    if not publication.via_root and any(table.kind == "p" for table in found.tables):
        yield Finding(
            "error",
            option,
            f"{config.publication} publishes the rows of partitions under the partitions' names",
            f"ALTER PUBLICATION {identifier} SET (publish_via_partition_root = true)",
        )
    extra = sorted(publication.tables - {(table.schema, table.name) for table in found.to_publish} - set(config.tables))
    if extra and not publication.all_tables:
        names = ", ".join(f"{schema}.{name}" for schema, name in extra)
        yield Finding(
            "warning",
            option,
            f"{config.publication} also publishes {names}, which the server sends in vain",
            f"ALTER PUBLICATION {identifier} DROP TABLE ...",
        )


def _statement(identifier: str, tables: Iterable[TableInfo], publication: Publication | None) -> str:
    names = table_list(tables).as_string()
    if publication is None:
        return f"CREATE PUBLICATION {identifier} FOR TABLE {names} WITH (publish_via_partition_root = true)"
    return f"ALTER PUBLICATION {identifier} ADD TABLE {names}"


def _all_tables(found: Found) -> Iterator[Finding]:
    option, filtered = "source.publication_mode", [str(table) for table in found.tables if table.row_filter]
    if not found.server.is_superuser:
        yield Finding(
            "error",
            option,
            f"only a superuser may create a publication for all tables, and {found.server.role} is none",
            'set source.publication_mode = "filtered"',
        )
    if filtered:
        yield Finding(
            "error",
            option,
            f"a publication for all tables cannot filter rows of {', '.join(filtered)}",
            'set source.publication_mode = "filtered"',
        )


def _row_filters(config: CdcConfig, found: Found) -> Iterator[Finding]:
    option = "source.row_filters"
    filtered = {str(table): table for table in found.tables if table.row_filter}
    if filtered and found.server.version < FILTERS_SINCE and config.snapshot != "initial_only":
        yield Finding(
            "error",
            option,
            f"publications filter rows from PostgreSQL 15 on, and this is {found.server.version // 10_000}",
            f"take out the filter of {', '.join(filtered)}, or upgrade the server",
        )
        return
    for state in found.row_filters:
        table = filtered[state.table]
        name = f'"{table.schema}"."{table.name}"'
        if state.refused:
            yield Finding(
                "error", option, f"Postgres cannot filter rows of {table} by it: {state.refused}", "change the filter"
            )
        if state.uncovered:
            yield Finding(
                "error",
                option,
                f"the filter of {table} needs more than the replica identity has ({state.uncovered}), so once "
                "published Postgres would refuse every UPDATE and DELETE on it",
                f"ALTER TABLE {name} REPLICA IDENTITY FULL",
            )
        if state.differs:
            yield Finding(
                "error",
                option,
                f"{config.publication} publishes {table} without this filter: the stream would hold other rows than "
                "the snapshot",
                _mend(config, found.publication, table),
            )


def _mend(config: CdcConfig, publication: Publication | None, table: TableInfo) -> str:
    if publication is not None and publication.all_tables:
        return "one FOR ALL TABLES filters nothing: choose another source.publication"
    again = f"travelos cdc signal execute-snapshot --table {table}"
    return f"{replacement(config.publication, table)}; then read it again: {again}"


def _left_out(config: CdcConfig, found: Found, publication: Publication) -> Iterator[Finding]:
    option, identifier = "source.publication", f'"{config.publication}"'
    for table in found.tables:
        name = str(table)
        if not table.row_filter and (condition := publication.row_filters.get(name)) is not None:
            yield Finding(
                "warning",
                option,
                f"{config.publication} leaves out rows of {table}: a snapshot holds more than the stream",
                f"set source.row_filters = ['{name}={condition}'], or {replacement(config.publication, table)}",
            )
        columns = [column for column in publication.left_out.get(name, ()) if config.filters.shows(name, column)]
        if columns:
            yield Finding(
                "warning",
                option,
                f"{config.publication} leaves out columns of {table} that a snapshot holds: {', '.join(columns)}",
                f"leave them out with source.exclude_columns, or ALTER PUBLICATION {identifier} SET TABLE ...",
            )
