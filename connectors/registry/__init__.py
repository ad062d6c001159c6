"""A Confluent-compatible Schema Registry, for producers that frame their values."""

from connectors.registry.client import RegistryClient, RegistryError, RegistryRefused, RegistryUnavailable, unframer

__all__ = ["RegistryClient", "RegistryError", "RegistryRefused", "RegistryUnavailable", "unframer"]
