"""The options of sagas."""

from pydantic import Field

from streams.settings.section import Section


class Sagas(Section):
    """Facts that go into several stores: in all of them, or in none."""

    enabled: bool = Field(
        default=False,
        description="their writes go through the role sagas, which has to run; false: to their stores at once",
    )
    declared: list[str] = Field(
        default=[], description='sagas of yours beside those of the project: "package.module:NAME" of a list of Kinds'
    )
    keep_hours: float = Field(
        default=168,
        gt=0,
        le=168,  # what the topics keep
        description="how long it is remembered that a saga has ended, so that it does not begin again",
    )
