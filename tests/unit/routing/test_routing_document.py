from schemas.events import EVENT_NAMES
from schemas.writes import STORES
from streams.routing.document import routing_page
from streams.routing.table import TABLE


def test_the_page_has_every_rule_of_every_event_and_an_example_of_every_store() -> None:
    page = routing_page()
    for name, rules in zip(EVENT_NAMES, TABLE.values(), strict=True):
        assert page.count(f"| `{name}` |") == len(rules) - 1  # that of the warehouse stands once, for all events
    assert page.count("| every event | warehouse |") == 1
    for store in STORES:
        assert f"### {store}\n\n```json\n{{\n" in page
        assert f"| {store} | `writes.{store}` |" in page


def test_the_page_says_what_is_left_after_a_delete() -> None:
    rows = [line for line in routing_page().splitlines() if line.startswith("| `public.")]
    assert {line.split(" | ")[1] for line in rows if line.endswith("| removed |")} == {"search", "vector", "graph"}
    assert {line.split(" | ")[1] for line in rows if line.endswith("| kept |")} == {"warehouse"}


def test_writing_the_page_twice_gives_the_same_text() -> None:
    assert routing_page() == routing_page()
    assert routing_page().endswith("```\n")
