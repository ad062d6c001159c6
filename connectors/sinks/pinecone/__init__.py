"""Vectors in Pinecone."""

from connectors.sinks.pinecone.options import PineconeOptions
from connectors.sinks.pinecone.sink import PineconeSink

__all__ = ["PineconeOptions", "PineconeSink"]
