"""What a saga wants done. Whoever carries it out may do so twice: versions make that harmless."""

from msgspec import Struct

from schemas.sagas import SagaWrite


class Send(Struct, frozen=True, gc=False):
    """Send the write of a step to its store."""

    step: str
    write: SagaWrite


class Compensate(Struct, frozen=True, gc=False):
    """Send the write that takes a step back, on the topic of compensations."""

    step: str
    write: SagaWrite


class Alert(Struct, frozen=True, gc=False):
    """Tell somebody that the saga does not get on by itself."""

    reason: str


Sending = Send | Compensate
Effect = Sending | Alert
