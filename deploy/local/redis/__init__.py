"""Redis: the machine's own, or Debian's package unpacked without being installed."""

from deploy.local.redis.server import RedisServer

__all__ = ["RedisServer"]
