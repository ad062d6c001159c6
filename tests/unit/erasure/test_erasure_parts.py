"""The parts of an erasure that touch stores, files and records, each by itself."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from connectors.sinks.contract import Held
from connectors.sinks.errors import Fatal, Unavailable
from connectors.sinks.persons import Purge, delete_of
from schemas.erasures import Certificate, Statement, StoreAnswer, decode_erasure_record
from schemas.topics import Catalogue
from schemas.writes import STORES, CacheWrite, StoreName
from streams.erasure.certificate import certify
from streams.erasure.eraser import file_of, write_certificate
from streams.erasure.machine import Answer
from streams.erasure.signing import public_key_of, signing_key
from streams.erasure.stores import LEFT_TO_IT, Stores
from streams.erasure.traces import remains_of, values_of_key
from streams.persons.holdings import Holdings

NONE: set[str] = set()
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Store:
    """A store that holds what it is told to."""

    def __init__(self, held: Mapping[tuple[str, str], Held] | None = None) -> None:
        self.answers = dict(held or {})
        self.is_open = False
        self.purged = 0

    def open(self) -> None:
        self.is_open = True

    def close(self) -> None:
        self.is_open = False

    def held(self, entities: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Held]:
        assert self.is_open
        return {one: self.answers[one] for one in entities if one in self.answers}


class Searching(Store):
    """One that finds what is somebody's, and rewrites its files."""

    def of_user(self, user: str) -> list[CacheWrite]:
        assert self.is_open
        return [delete_of(CacheWrite, f"trip:{user}", "events", 7, key=f"trip:{user}")]

    def purge(self) -> Purge:
        self.purged += 1
        return Purge(forced="VACUUM", keeps="its log")


class Away(Store):
    """One that does not answer."""

    def open(self) -> None:
        raise Unavailable("away")


def _stores(**some: Store) -> tuple[Stores, dict[StoreName, Store]]:
    made: dict[StoreName, Any] = {store: some.get(store, Store()) for store in STORES}
    return Stores(lambda store: made[store]), made


def _known() -> Holdings:
    holdings = Holdings("ann")
    holdings.take(
        CacheWrite(
            entity="position:ann", key="position:ann", version=3, source="events", event_id="e", occurred_at=NOON
        )
    )
    return holdings


@pytest.mark.parametrize(
    ("held", "still"),
    [
        ({}, 1),  # its delete has not arrived: a write before it could still come
        ({("position:ann", "events"): Held(version=3)}, 1),
        ({("position:ann", "events"): Held(version=4, deleted=True, copies=1)}, 1),
        ({("position:ann", "events"): Held(version=4, deleted=True, copies=0)}, 0),
    ],
)
def test_an_entity_is_gone_when_its_delete_has_arrived_and_nothing_lies_there(held: Any, still: int) -> None:
    stores, _ = _stores(cache=Store(held))
    answers = stores.ask(_known())
    assert answers["cache"] == Answer(asked=1, held=still)
    assert answers["graph"] == Answer(asked=0, held=0)


def test_what_a_store_finds_besides_is_unknown_once() -> None:
    stores, made = _stores(cache=Searching())
    holdings = _known()
    assert stores.ask(holdings)["cache"] == Answer(asked=1, held=1, searched=True, unknown=1)
    assert stores.ask(holdings)["cache"] == Answer(asked=2, held=2, searched=True, unknown=0)
    assert not any(one.is_open for one in made.values())


def test_stores_rewrite_their_files_and_say_what_they_keep() -> None:
    stores, made = _stores(cache=Searching())
    said = stores.purge()
    assert said.pop("cache") == Purge(forced="VACUUM", keeps="its log")
    assert said == dict.fromkeys(set(STORES) - {"cache"}, LEFT_TO_IT)
    assert made["cache"].purged == 1


def test_a_store_that_is_away_is_told_to_whoever_asks() -> None:
    stores, made = _stores(cache=Away())
    for ask in (lambda: stores.search(_known()), lambda: stores.ask(_known()), stores.purge):
        with pytest.raises(Unavailable):
            ask()
    assert not any(one.is_open for one in made.values())


# -- keys


def test_a_signing_key_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "key.pem"
    first = signing_key(path, may_make=True)
    assert public_key_of(signing_key(path, may_make=True)) == public_key_of(first)
    assert path.stat().st_mode & 0o077 == 0
    assert [one.name for one in path.parent.iterdir()] == ["key.pem"]


def test_a_key_that_is_named_is_never_made(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="signing_key_file"):
        signing_key(tmp_path / "key.pem", may_make=False)


def test_what_is_no_key_of_the_kind_is_told_without_showing_it(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(b"a secret that is no key")
    with pytest.raises(Fatal) as error:
        signing_key(path, may_make=False)
    assert "a secret" not in str(error.value)
    rsa = generate_private_key(65_537, 2_048)
    path.write_bytes(rsa.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(Fatal, match="Ed25519"):
        signing_key(path, may_make=False)


# -- files and records


def _certificate(erasure: str) -> Certificate:
    statement = Statement(
        id=erasure,
        user_id="ann",
        requested_at=NOON,
        began_at=NOON,
        certified_at=NOON,
        policy="refuse",
        stores={"cache": StoreAnswer(found=0)},
        tombstones={},
        large_values=0,
        key="destroyed",
        remains=[],
    )
    return certify(statement, Ed25519PrivateKey.from_private_bytes(b"k" * 32))


def test_each_certificate_has_a_file_of_its_own_whatever_its_id_is(tmp_path: Path) -> None:
    ids = ["e/1", "e:1", "../../e", "e" * 500, "e-1", "\u65c5"]
    assert len({file_of(one) for one in ids}) == len(ids)
    for one in ids:
        path = write_certificate(tmp_path, _certificate(one))
        assert path.parent == tmp_path
        assert decode_erasure_record(path.read_bytes(), Certificate) == _certificate(one)
    write_certificate(tmp_path, _certificate(ids[0]))
    assert len(list(tmp_path.iterdir())) == len(ids)


@pytest.mark.parametrize(
    ("key", "values"),
    [
        (b'{"id": "u-7"}', {"u-7"}),
        (b'{"schema": {"type": "struct"}, "payload": {"id": 7, "city": "x"}}', {"7", "x"}),
        (b"u-7", NONE),
        (b'["u-7"]', NONE),
        (b"\xff", NONE),
    ],
)
def test_the_key_of_a_row_is_read_with_its_schema_or_without(key: bytes, values: set[str]) -> None:
    assert values_of_key(key) == values


def test_a_certificate_says_of_every_topic_with_events_until_when_it_keeps_them() -> None:
    found = {one.where: one.until for one in remains_of(Catalogue(), NOON, archived=True)}
    assert found["topic user-events"] == datetime(2026, 5, 31, 12, tzinfo=UTC)
    assert found["topic writes.graph"] == datetime(2026, 5, 8, 12, tzinfo=UTC)
    assert found["archive"] is None
    assert "archive" not in {one.where for one in remains_of(Catalogue(), NOON, archived=False)}


# Topics without events of theirs: what is known of places, what is about offsets, stores and operators, what names a
# person by their id and tells nothing of them, and what an erasure gives tombstones to or ends with.
WITHOUT = {
    *("reference.places", "reference.place-vectors", "reference.users", "conflicts"),
    *("cdc.offsets", "cdc.travel-signal", "deliver.controls", "dead-letters.actions", "receipts"),
    *("sagas.commands", "saga-log", "saga-alerts", "erasures.starts", "erasures.ends", "erasures.log", "erasures"),
    *(f"travelos-ingest-{name}-changelog" for name in ("seen", "travellers", "arrived", "entities", "tallies")),
    *(f"travelos-ingest-{name}-changelog" for name in ("held", "held_rows")),
    "travelos-sagas-ended-changelog",
}


@pytest.mark.parametrize("keyless", [False, True])
def test_a_certificate_names_all_topics_but_those_without_events_of_the_person(keyless: bool) -> None:
    catalogue = Catalogue(keyless_changes=keyless)
    found = {one.where.removeprefix("topic "): one.until for one in remains_of(catalogue, NOON, archived=False)}
    assert found.keys() == {topic.name for topic in catalogue} - WITHOUT
    assert found["cdc.travel.public.users"] is None  # a topic without keys is kept for ever
