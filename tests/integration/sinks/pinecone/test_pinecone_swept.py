"""The sweep over Pinecone's stand-in: records that were removed or altered by hand are found and repaired."""

import msgspec

from connectors.sinks.contract import APPLIED
from connectors.sinks.pinecone import PineconeOptions
from connectors.sinks.pinecone.client import PineconeClient
from connectors.sinks.pinecone.records import record_of
from deploy.local.pinecone import PineconeStandIn
from schemas.writes import VectorWrite
from streams.verify.repairs import origins_of, removals_of
from streams.verify.sweep import StoreSweep
from tests.integration.sinks.pinecone.pinecone_writes import Opened, write
from tests.unit.verify.kafka_stand_in import TopicInMemory


def test_records_that_were_removed_or_altered_by_hand_and_those_nobody_has_written_are_found_and_repaired(
    service: PineconeStandIn, opened: Opened
) -> None:
    writes = [write(name, 5) for name in ("whole", "removed", "reworded", "renumbered")]
    sink = opened(freshness_seconds=0.2)
    sink.write([*writes, write("unknown", 5)])
    options = PineconeOptions(url=service.url, api_key=service.api_key, dimension=2)
    client, index = PineconeClient(options), options.index_of(writes[0].namespace)
    client.open()
    client.delete(index, writes[0].namespace, ["removed"])
    altered = [msgspec.structs.replace(writes[2], text="other words"), msgspec.structs.replace(writes[3], version=7)]
    client.upsert(index, writes[0].namespace, [record_of(one, 2) for one in altered])
    client.close()

    topic = TopicInMemory(writes)
    sweep = StoreSweep("vector", sink, topic, patience=0)
    report = sweep.run()
    found = {one.entity: one.kind for one in report.findings}
    assert found == {"removed": "missing", "reworded": "different", "renumbered": "different", "unknown": "extra"}
    assert report.extras

    sent = [origin.offset for name in sorted(found) for origin in origins_of(sweep.expected.lines(name))]
    repairs = [msgspec.structs.replace(writes[offset], repair=True) for offset in sent]
    removals = [one for one in removals_of(sweep.surplus, report.findings) if isinstance(one, VectorWrite)]
    assert sink.write([*repairs, *removals]) == [APPLIED] * 4
    assert StoreSweep("vector", sink, TopicInMemory(writes), patience=0).run().findings == []
