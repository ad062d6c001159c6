"""What has to be done so that a cluster's topics are those of the catalogue. A pure comparison; `admin` does it."""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from schemas.topics import Topic


class Existing(Struct, frozen=True, kw_only=True):
    """A topic as the cluster has it. `leaderless` counts partitions; `config` is None where it cannot be known."""

    partitions: int
    leaderless: int = 0
    config: Mapping[str, str] | None = None


class Create(Struct, frozen=True):
    """The topic is missing."""

    topic: Topic

    def __str__(self) -> str:
        return f"create {self.topic.name} ({self.topic.partitions} partitions, {self.topic.cleanup})"


class Setting(Struct, frozen=True):
    """One setting of a topic that differs."""

    name: str
    old: str | None
    new: str


class Alter(Struct, frozen=True):
    """The topic has other settings; they can be changed without harm to what lies in it."""

    topic: Topic
    settings: tuple[Setting, ...]

    def __str__(self) -> str:
        changes = (f"{one.name} from {one.old} to {one.new}" for one in self.settings)
        return f"alter {self.topic.name}: {', '.join(changes)}"


class Mismatch(Struct, frozen=True):
    """The topic differs in what must not be changed; somebody has to decide."""

    topic: Topic
    reason: str

    def __str__(self) -> str:
        return f"topic `{self.topic.name}` {self.reason}"


Step = Create | Alter | Mismatch


def plan(catalogue: Iterable[Topic], existing: Mapping[str, Existing]) -> list[Step]:
    """Return what has to be done, in the catalogue's order; an empty list when all is as it has to be."""
    steps: list[Step] = []
    for topic in catalogue:
        found = existing.get(topic.name)
        if found is None:
            steps.append(Create(topic))
            continue
        if found.partitions != topic.partitions:
            steps.append(Mismatch(topic, _other_partitions(found.partitions, topic.partitions)))
        if settings := _differing(topic, found):
            steps.append(Alter(topic, settings))
    return steps


def _other_partitions(found: int, wanted: int) -> str:
    # More partitions would send a key's next record to another one: its order is lost, and tables that are partitioned
    # like the topic no longer find it.
    return (
        f"has {found} partitions, the catalogue says {wanted}; partitions cannot be changed without moving keys. "
        f"Set kafka.partitions = {found}, or start afresh with another kafka.topic_prefix"
    )


def _differing(topic: Topic, found: Existing) -> tuple[Setting, ...]:
    if found.config is None or (topic.may_lack_keys and not _settings(topic.without_keys(), found.config)):
        return ()
    return _settings(topic, found.config)


def _settings(topic: Topic, found: Mapping[str, str]) -> tuple[Setting, ...]:
    return tuple(
        Setting(name, found.get(name), wanted)
        for name, wanted in topic.config.items()
        if _normal(name, found.get(name)) != _normal(name, wanted)
    )


def _normal(name: str, value: str | None) -> object:
    if name == "cleanup.policy" and value is not None:
        return frozenset(part.strip() for part in value.split(","))
    return value
