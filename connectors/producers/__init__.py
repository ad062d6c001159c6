"""Publishing events: the producers for blocking and asyncio code, and readers of files of events and of GPS points."""

from connectors.producers.asynchronous import AsyncEventProducer
from connectors.producers.errors import (
    DeliveryFailed,
    Failure,
    FlushTimedOut,
    LargeValueNotStored,
    NotOpen,
    ProducerError,
    QueueFull,
    RawRecord,
    Refused,
    TopicMissing,
    Unreachable,
)
from connectors.producers.producer import EventProducer
from connectors.producers.record_queue import Counts, Delivered, QueueLimits

__all__ = [
    "AsyncEventProducer",
    "Counts",
    "Delivered",
    "DeliveryFailed",
    "EventProducer",
    "Failure",
    "FlushTimedOut",
    "LargeValueNotStored",
    "NotOpen",
    "ProducerError",
    "QueueFull",
    "QueueLimits",
    "RawRecord",
    "Refused",
    "TopicMissing",
    "Unreachable",
]
