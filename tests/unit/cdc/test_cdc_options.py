from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.cdc.errors import Misconfigured
from streams.cli.cdc import cdc_config
from streams.settings import Options


def options(**source: Any) -> Options:
    return Options.model_validate({"source": source})


def test_a_table_is_a_name_or_an_expression() -> None:
    config = cdc_config(options(tables=["public.users", "public.a$b", r"shop\..*", "public.(a|b)"]))
    assert list(config.topics) == ["public.users", "public.a$b"]
    assert config.patterns == (r"shop\..*", "public.(a|b)")
    found = config.with_tables([("shop", "orders"), ("public", "b"), ("public", "users"), ("public", "c")])
    assert list(found.topics) == ["public.users", "public.a$b", "shop.orders", "public.b"]
    assert found.topics["shop.orders"].name == "cdc.travel.shop.orders"


def test_lengths_and_keys_are_read() -> None:
    filters = cdc_config(
        options(mask_columns=[r"a\.b=c.d=3"], truncate_columns=["x.y.z=20"], key_columns=["public.t=b;a"])
    ).filters
    lengths: Mapping[str, int] = filters.mask_columns
    assert (lengths, filters.truncate_columns) == ({r"a\.b=c.d": 3}, {"x.y.z": 20})
    assert filters.key_of("public.t") == ("b", "a")
    assert filters.skipped_operations == ("t",)


def test_every_topic_that_an_option_asks_for_is_created() -> None:
    wanted = options(schema_changes=True, transaction_metadata=True, messages=True, notifications=True)
    names = {topic.name for topic in cdc_config(wanted).own_topics}
    beside = {f"cdc.travel.{name}" for name in ("schema-changes", "transaction", "message", "notification")}
    assert names == {"cdc.offsets", "cdc.travel-signal", *beside}


def test_a_row_filter_is_sql_after_the_first_equals_sign() -> None:
    filters = cdc_config(options(row_filters=["public.orders=status = 'paid'", r"shop\..*=id >= 5"])).filters
    assert filters.rows_of("public.orders") == "status = 'paid'"
    assert filters.rows_of("shop.baskets") == "id >= 5"
    assert filters.rows_of("public.users") == ""


@pytest.mark.parametrize(
    "entry",
    [
        {"mask_columns": ["a.b.c"]},
        {"mask_columns": ["a=x"]},
        {"key_columns": ["a"]},
        {"row_filters": ["a"]},
        {"row_filters": ["a=b\nc"]},
    ],
)
def test_an_entry_without_its_value_is_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        options(**entry)


@pytest.mark.parametrize(
    ("source", "option"), [({"tables": ["public.(a"]}, "tables"), ({"exclude_columns": ["["]}, "exclude_columns")]
)
def test_an_expression_that_is_none_is_refused(source: dict[str, Any], option: str) -> None:
    with pytest.raises(Misconfigured, match=rf"source\.{option}: .* is no regular expression"):
        cdc_config(options(**source))
