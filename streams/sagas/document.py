"""docs/sagas-declared.md: every kind of saga with its steps, what takes them back, and the states it goes through."""

from collections.abc import Iterator, Sequence

from streams.sagas.declared import DECLARED
from streams.sagas.definition import Definition, Patience, Step
from streams.sagas.kinds import Kind

INTRODUCTION = """<!-- Written by `python -m streams.documents` from streams/sagas/declared.py. -->
# Sagas of this project

What they are, what they guarantee and how to operate them is in [sagas.md](sagas.md). `sagas_page` of
`streams.sagas.document` makes a page like this one of the sagas that you declare yourself.

A compensation is the content that the store held before, or a delete where it held nothing, with the version after that
of the step's write ([decision 13](decisions/0013-undo-by-version.md)).
"""

OPERATIONS = {"c": "created", "u": "changed", "d": "deleted"}


def sagas_page(kinds: Sequence[Kind] = DECLARED, introduction: str = INTRODUCTION) -> str:
    """Return the text of a page about kinds of sagas."""
    return "\n".join([introduction, *(line for kind in kinds for line in _kind(kind))])


def _kind(kind: Kind) -> Iterator[str]:
    definition = kind.definition
    yield from (f"## {definition.name}", f"Begun by {_begun_by(kind)}. Sagas about one `{kind.about}` run one by one.")
    yield from (f"All steps together may take {_seconds(definition.deadline_ms)} before it turns back.", "")
    yield "| step | store | entity | kind | after | taken back by | tried | deadline |"
    yield "|---|---|---|---|---|---|---|---|"
    yield from (_step(definition, step) for step in definition.steps)
    yield from ("", "```mermaid", "stateDiagram-v2", *_diagram(definition), "```", "")


def _begun_by(kind: Kind) -> str:
    events = [f"the event `{event.__struct_config__.tag}`" for event in kind.events]
    done = [OPERATIONS[one] for one in ("c", "u", "d") if one in kind.operations]
    tables = [f"a row of `{table}` that is {' or '.join(done)}" for table in sorted(kind.tables)]
    return ", ".join([*events, *tables]) or "whoever sends its start"


def _step(definition: Definition, step: Step) -> str:
    store = step.store if step.store != "outside" else f"`{step.request_topic}`, answered in `{step.reply_topic}`"
    after = ", ".join(sorted(definition.waits_for(step))) or "at once"
    if step.kind == "pivot":
        undone = "nothing, once it is done"
    elif step.kind == "retriable":
        undone = "nothing: it comes after the point of no return"
    else:
        others = ", ".join(sorted(definition.waited_for_by(step)))
        what = "a request to take it back" if step.store == "outside" else "what the store held before"
        undone = what + (f", after {others}" if others else "")
    entity = f"`{step.entity}`" if step.entity else "any"
    deadline = "that of the saga" if step.deadline_ms is None else _seconds(step.deadline_ms)
    told = (step.name, store, entity, step.kind, after, undone, _tried(step.patience), deadline)
    return f"| {' | '.join(told)} |"


def _tried(patience: Patience) -> str:
    return f"{patience.attempts} times, {_seconds(patience.first_ms)} to {_seconds(patience.longest_ms)} apart"


def _diagram(definition: Definition) -> Iterator[str]:
    steps = definition.steps
    for step in steps:
        before = sorted(_last(definition, definition.waits_for(step)))
        yield from (f"    {one} --> {step.name}: done" for one in before)
        if not before:
            yield f"    [*] --> {step.name}"
    waited_for = {name for step in steps for name in definition.waits_for(step)}
    yield from (f"    {step.name} --> completed: done" for step in steps if step.name not in waited_for)
    for step in steps:
        if step.kind == "retriable":
            yield f"    {step.name} --> stuck: not done in time"
        else:
            yield f"    {step.name} --> compensating: refused, late, aborted"
    if any(step.kind != "retriable" for step in steps):
        yield from (
            "    compensating --> compensated: all taken back",
            "    compensating --> stuck: one is not to be had",
        )
        yield from ("    stuck --> compensated: retry or resume", "    compensated --> [*]")
    if any(step.kind == "retriable" for step in steps):
        yield "    stuck --> completed: retry or resume"
    yield "    completed --> [*]"


def _last(definition: Definition, names: frozenset[str]) -> set[str]:
    """Return those of some steps that no other one of them comes after."""
    earlier = {name for other in names for name in definition.waits_for(definition.step(other))}
    return set(names) - earlier


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1_000:g} s"
