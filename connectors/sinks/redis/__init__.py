"""Live state in Redis."""

from connectors.sinks.redis.options import RedisOptions
from connectors.sinks.redis.sink import RedisSink

__all__ = ["RedisOptions", "RedisSink"]
