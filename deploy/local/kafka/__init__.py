"""A single-node Apache Kafka from Maven Central's jars, and librdkafka's in-memory cluster."""

from deploy.local.kafka.memory import MemoryKafka
from deploy.local.kafka.server import KafkaServer

__all__ = ["KafkaServer", "MemoryKafka"]
