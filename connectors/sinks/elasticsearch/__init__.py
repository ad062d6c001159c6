"""Search documents in Elasticsearch. Needs the extra `elasticsearch`."""

from connectors.sinks.elasticsearch.options import ElasticsearchOptions
from connectors.sinks.elasticsearch.reindex import reindex
from connectors.sinks.elasticsearch.sink import ElasticsearchSink

__all__ = ["ElasticsearchOptions", "ElasticsearchSink", "reindex"]
