"""What becomes of a real Elasticsearch's index when making it anew is cut off, and when its alias is lost."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from elasticsearch import ConnectionTimeout, Elasticsearch
from typer.testing import CliRunner

from connectors.sinks.contract import APPLIED, SUPERSEDED
from connectors.sinks.elasticsearch import ElasticsearchOptions, ElasticsearchSink, reindex
from connectors.sinks.errors import Fatal, Unavailable
from streams.cli import sinks
from tests.integration.sinks.elasticsearch.search_writes import write

pytestmark = pytest.mark.integration


def cut_off(client: Elasticsearch, monkeypatch: pytest.MonkeyPatch, error: BaseException, *, moved: bool) -> None:
    """Let every client's request to move the aliases get lost, on its way there or its answer on the way back."""
    kind: Any = type(client.indices)
    really = kind.update_aliases

    def lost(self: object, **given: Any) -> None:
        if moved:
            really(self, **given)
        raise error

    monkeypatch.setattr(kind, "update_aliases", lost)


def in_use(client: Elasticsearch, options: ElasticsearchOptions) -> tuple[list[str], list[str]]:
    """Return what is read and what is written."""
    read, written = (list(client.indices.get_alias(name=name).body) for name in (options.index, options.write_alias))
    return read, written


def test_a_move_whose_answer_is_lost_is_done_and_what_was_written_since_stays(
    sink: ElasticsearchSink,
    client: Elasticsearch,
    options: ElasticsearchOptions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    new = f"{options.index}-2"
    assert sink.write([write("a", 1)]) == [APPLIED]
    cut_off(client, monkeypatch, ConnectionTimeout("no answer"), moved=True)
    assert reindex(options).new == new
    assert in_use(client, options) == ([new], [new])
    assert sink.write([write("a", 1), write("b", 1)]) == [SUPERSEDED, APPLIED]


def test_an_interrupt_after_the_move_leaves_the_new_index(
    sink: ElasticsearchSink,
    client: Elasticsearch,
    options: ElasticsearchOptions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    new = f"{options.index}-2"
    assert sink.write([write("a", 1)]) == [APPLIED]
    cut_off(client, monkeypatch, KeyboardInterrupt(), moved=True)
    with pytest.raises(KeyboardInterrupt):
        reindex(options)
    assert in_use(client, options) == ([new], [new])
    assert sink.write([write("a", 1), write("b", 1)]) == [SUPERSEDED, APPLIED]


@pytest.mark.parametrize(
    ("error", "seen"),
    [(ConnectionTimeout("no answer"), Unavailable), (KeyboardInterrupt(), KeyboardInterrupt)],
    ids=["lost", "interrupted"],
)
def test_a_move_that_did_not_happen_leaves_the_old_index_in_use(
    error: BaseException,
    seen: type[BaseException],
    sink: ElasticsearchSink,
    client: Elasticsearch,
    options: ElasticsearchOptions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = f"{options.index}-1"
    assert sink.write([write("a", 1)]) == [APPLIED]
    cut_off(client, monkeypatch, error, moved=False)
    with pytest.raises(seen):
        reindex(options)
    assert in_use(client, options) == ([old], [old])
    assert list(client.indices.get(index=f"{options.index}-*").body) == [old]
    assert sink.write([write("a", 1), write("b", 1)]) == [SUPERSEDED, APPLIED]


def test_a_reindex_after_one_that_was_killed_takes_up_writing_again(
    sink: ElasticsearchSink, client: Elasticsearch, options: ElasticsearchOptions
) -> None:
    assert sink.write([write("a", 1)]) == [APPLIED]
    # What a kill leaves when it comes between closing the old index and moving the aliases.
    client.indices.create(index=f"{options.index}-2")
    client.indices.add_block(index=f"{options.index}-1", block="write")
    assert reindex(options).new == f"{options.index}-3"
    assert sink.write([write("a", 1), write("b", 1)]) == [SUPERSEDED, APPLIED]


def test_an_index_that_lost_its_write_alias_is_used_again_and_not_an_older_one(
    sink: ElasticsearchSink, client: Elasticsearch, options: ElasticsearchOptions
) -> None:
    new = f"{options.index}-2"
    reindex(options)
    assert sink.write([write("a", 5)]) == [APPLIED]
    client.indices.delete_alias(index=new, name=options.write_alias)
    sink.close()
    sink.open()
    assert in_use(client, options) == ([new], [new])
    assert sink.write([write("a", 4)]) == [SUPERSEDED]


def test_the_only_index_is_used_again_when_both_aliases_are_gone(
    sink: ElasticsearchSink, client: Elasticsearch, options: ElasticsearchOptions
) -> None:
    new = f"{options.index}-2"
    reindex(options, delete_old=True)
    client.indices.delete_alias(index=new, name=[options.index, options.write_alias])
    sink.close()
    sink.open()
    assert in_use(client, options) == ([new], [new])


def test_nothing_is_chosen_among_several_indexes_without_an_alias(
    sink: ElasticsearchSink, client: Elasticsearch, options: ElasticsearchOptions
) -> None:
    reindex(options)
    client.indices.delete_alias(index=f"{options.index}-2", name=[options.index, options.write_alias])
    sink.close()
    with pytest.raises(Fatal, match=rf"{options.index}-1, {options.index}-2 are there; add the alias"):
        sink.open()


def test_an_index_is_made_anew_at_the_command_line(
    options: ElasticsearchOptions, sink: ElasticsearchSink, client: Elasticsearch, tmp_path: Path
) -> None:
    assert sink.write([write("a"), write("b")]) == [APPLIED] * 2
    config = tmp_path / "travelos.toml"
    login = f'url = "{options.url}"\nusername = "{options.username}"\npassword = "{options.password}"'
    config.write_text(f'[stores.search]\nkind = "elasticsearch"\n{login}\nindex = "{options.index}"\nshards = 2\n')
    said = CliRunner().invoke(sinks.app, ["reindex", "--delete-old", "--config", str(config), "--json"])
    assert said.exit_code == 0, said.output
    [row] = msgspec.json.decode(said.stdout)
    assert (row["old"], row["new"]) == (f"{options.index}-1", f"{options.index}-2")
    assert client.count(index=options.index)["count"] == 2
    assert in_use(client, options) == ([row["new"]], [row["new"]])
    [settings] = client.indices.get_settings(index=f"{options.index}-*").body.values()
    assert settings["settings"]["index"]["number_of_shards"] == "2"
    assert sink.write([write("a"), write("b", 2)]) == [SUPERSEDED, APPLIED]
    refused = CliRunner().invoke(sinks.app, ["reindex", "graph", "--config", str(config)])
    assert (refused.exit_code, "graph is embedded, which has no index" in refused.output) == (2, True)
