"""The options of conflicts between sources."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from streams.settings.section import Section

SourceName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,100}$")]
Sure = Annotated[str, StringConstraints(pattern=r"^[^=]+=(0(\.[0-9]+)?|1(\.0+)?)$")]
Placed = Annotated[str, StringConstraints(pattern=r"^[^=]+=[^=]+$")]


class EntityType(Section):
    """How entities of one type are settled."""

    strategy: Literal[
        "none", "last_write_wins", "highest_confidence", "merge", "regional_priority", "manual", "rollback"
    ] = Field(default="none", description="settles what two sources say; none: what they say holds as it comes")
    sets: list[str] = Field(default=[], description="columns that are sets, of which merge keeps all elements")
    priority: list[str] = Field(default=[], description="regions for regional_priority, the first one wins")
    ignored: list[str] = Field(
        default=[], description="columns that are no part of what is compared and agreed: when a row was written, say"
    )


class EntityTypes(Section):
    """The types whose rows may come from several sources."""

    place: EntityType = EntityType()
    user: EntityType = EntityType()


class Conflicts(Section):
    """Several sources of one entity: how what they say is settled before it goes to the stores."""

    types: EntityTypes = EntityTypes()
    sources: list[SourceName] = Field(
        default=[], description="prefixes of the topics of other databases with the same tables, as `cdc.crm`"
    )
    confidences: list[Sure] = Field(default=[], description='"source=0.8": how sure sources are; others: 1')
    regions: list[Placed] = Field(default=[], description='"source=region": where sources are')
    window_seconds: float = Field(
        default=5,
        ge=0,
        le=86_400,
        description="changes of two sources that are closer than this, and tell not what they changed, are in conflict",
    )

    @property
    def enabled(self) -> bool:
        """Whether any type is settled."""
        return any(one.strategy != "none" for _, one in self.types)
