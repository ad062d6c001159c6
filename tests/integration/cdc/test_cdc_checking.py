"""What `travelos cdc check` says about both sides before anything is created."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from connectors.cdc import CdcConfig, Source, Stop, check
from connectors.kafka.admin import TopicAdmin, ensure_topics
from connectors.kafka.connection import Connection
from deploy.local.kafka import KafkaServer
from deploy.local.ports import free_port
from schemas.topics import Catalogue

pytestmark = pytest.mark.integration

Sql = Callable[..., list[tuple[Any, ...]]]
Configure = Callable[..., CdcConfig]
Start = Callable[[CdcConfig], tuple[Source, Stop]]
Eventually = Callable[[Callable[[], bool]], None]


@pytest.fixture
def kafka(broker: KafkaServer) -> Connection:
    return Connection(bootstrap=broker.bootstrap)


def test_a_first_start_and_a_later_one_are_fine_and_nothing_is_created(
    sql: Sql, kafka: Connection, configure: Configure, streaming: Start
) -> None:
    sql("CREATE TABLE t (id int PRIMARY KEY)")
    config = configure("public.t")
    fresh = structs.replace(config, offsets=Catalogue(prefix=f"new.{config.slot}.").cdc_offsets)
    assert check(fresh, kafka) == []
    assert TopicAdmin(kafka).existing([fresh.offsets]) == {}
    streaming(config)
    assert check(config, kafka) == []


def test_a_position_that_is_lost_is_told_with_the_way_out(
    sql: Sql, kafka: Connection, configure: Configure, streaming: Start, eventually: Eventually
) -> None:
    sql("CREATE TABLE t (id int PRIMARY KEY)")
    config = configure("public.t")
    source, stop = streaming(config)
    stop.request()
    eventually(lambda: source.counters.phase == "stopped")
    eventually(lambda: sql("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s AND active", config.slot) == [])
    sql("SELECT pg_drop_replication_slot(%s)", config.slot)
    [finding] = check(config, kafka)
    assert (finding.level, finding.option) == ("error", "source.slot")
    assert f"{config.slot} is gone, and with it the changes since" in finding.problem
    assert 'set source.snapshot = "when_needed"' in finding.remedy
    assert check(structs.replace(config, snapshot="when_needed"), kafka) == []


def test_topics_that_are_not_ours_to_create_are_told(sql: Sql, kafka: Connection, configure: Configure) -> None:
    sql("CREATE TABLE t (place text)")
    sql("ALTER TABLE t REPLICA IDENTITY FULL")
    config = configure("public.t")
    missing = Catalogue(prefix=f"new.{config.slot}.").cdc_signals
    compacted, absent, keyless = check(structs.replace(config, signals=missing), kafka, creates_topics=False)
    assert f"there is no topic {missing.name}" in str(absent) + str(compacted)
    assert "is compacted, which takes no record of public.t" in str(absent) + str(compacted)
    assert keyless.level == "warning"
    ensure_topics(kafka, [missing])
    assert [one.level for one in check(structs.replace(config, signals=missing), kafka)] == ["warning"]


def test_brokers_that_do_not_answer_are_told(sql: Sql, configure: Configure) -> None:
    sql("CREATE TABLE t (id int PRIMARY KEY)")
    [finding] = check(configure("public.t"), Connection(bootstrap=f"127.0.0.1:{free_port()}"))
    assert (finding.level, finding.option) == ("error", "kafka.bootstrap")
