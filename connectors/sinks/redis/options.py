"""What a user may say about a Redis."""

from typing import Annotated

from msgspec import Meta, Struct


class RedisOptions(Struct, frozen=True, kw_only=True):
    """Where the servers are and how keys are named. No password is in a repr."""

    url: Annotated[
        str,
        Meta(
            description="redis://HOST:PORT/DB, rediss:// with TLS, unix:///PATH, redis+cluster://HOST:PORT,HOST:PORT, "
            "redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB; rediss+cluster and rediss+sentinel with TLS",
            extra={"secret": True},  # a password may stand in it
        ),
    ] = "redis://127.0.0.1:6379/0"
    username: Annotated[str, Meta(description="user, unless the address names one")] = ""
    password: Annotated[str, Meta(description="password, unless the address has one")] = ""
    sentinel_password: Annotated[str, Meta(description="password of the sentinels, where they have one")] = ""
    prefix: Annotated[str, Meta(pattern=r"^[^{}]*$", description="before all keys and channels")] = "travelos:"
    positions: Annotated[
        str,
        Meta(
            description="keys that begin so have `lat` and `lon` in their value and go into the geo index; empty: none"
        ),
    ] = "position:"
    publish: Annotated[bool, Meta(description="tell watchers of each change by pub/sub")] = True
    versions_hours: Annotated[
        int, Meta(ge=0, description="how long versions outlive the last write of their entity; 0: for ever")
    ] = 0
    connect_seconds: Annotated[float, Meta(gt=0, description="longest wait for a connection")] = 5.0
    request_seconds: Annotated[float, Meta(gt=0, description="longest wait for an answer")] = 10.0
    ca_file: Annotated[str, Meta(description="certificates that the server's is checked with; empty: the system's")] = (
        ""
    )

    def __repr__(self) -> str:
        """Say which keys these are; the address may hold a password."""
        return f"RedisOptions(prefix={self.prefix!r})"
