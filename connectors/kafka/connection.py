"""How to reach the brokers, once for all clients."""

from pathlib import Path

from msgspec import Struct

ClientConfig = dict[str, str | int | float | bool]


class Connection(Struct, frozen=True, kw_only=True):
    """Address and credentials of a Kafka cluster. `password` is never part of a message."""

    bootstrap: str
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = ""
    username: str = ""
    password: str = ""
    ca_file: Path | None = None

    def client(self) -> ClientConfig:
        """Return librdkafka's configuration of any client."""
        config: ClientConfig = {"bootstrap.servers": self.bootstrap, "security.protocol": self.security_protocol}
        if self.security_protocol.startswith("SASL"):
            config["sasl.mechanism"] = self.sasl_mechanism
            config["sasl.username"] = self.username
            config["sasl.password"] = self.password
        if self.ca_file is not None:
            config["ssl.ca.location"] = str(self.ca_file)
        return config

    def producer(self) -> ClientConfig:
        """Return librdkafka's configuration of a producer that loses and repeats nothing.

        The partitioner is that of the Java and aiokafka clients. librdkafka's own default hashes differently, and then
        one key has two homes: tables no longer match the topics that feed them.
        """
        return {
            **self.client(),
            "enable.idempotence": True,
            "acks": "all",
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "message.max.bytes": 12 * 1024 * 1024,
        }

    def consumer(self, group: str) -> ClientConfig:
        """Return librdkafka's configuration of a consumer that commits only what it is told to."""
        return {
            **self.client(),
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": False,
        }

    def __repr__(self) -> str:
        return f"Connection({self.bootstrap}, {self.security_protocol})"
