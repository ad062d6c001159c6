"""A single-node Elasticsearch from Maven Central's jars."""

from deploy.local.elasticsearch.server import ElasticsearchServer

__all__ = ["ElasticsearchServer"]
