"""A stand-in for Pinecone, of which no server can be had. It is no Pinecone: see `server`."""

from deploy.local.pinecone.process import PineconeProcess
from deploy.local.pinecone.server import Fault, PineconeStandIn

__all__ = ["Fault", "PineconeProcess", "PineconeStandIn"]
