"""What became of users' keys, for Prometheus."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from connectors.keys import MasterKeys, SQLiteKeyStore, StoredKey, UserKeys
from connectors.keys.master import KEY_BYTES
from connectors.sinks.errors import Unavailable
from streams.key_metrics import METRICS, register_keys
from streams.runtime.metrics import PREFIX

MASTERS = MasterKeys({"m": b"m" * KEY_BYTES}, "keys.master_file")


class Failing(SQLiteKeyStore):
    """One that is away now and then."""

    away = False

    def get(self, user_ids: Sequence[str]) -> dict[str, StoredKey]:
        if self.away:
            raise Unavailable("away")
        return super().get(user_ids)


def counts(registry: CollectorRegistry) -> dict[str, float]:
    """Return the metrics that are not 0, failures aside."""
    found = {one.full_name: registry.get_sample_value(one.full_name) for one in METRICS}
    return {name.removeprefix(f"{PREFIX}keys_").removesuffix("_total"): n for name, n in found.items() if n}


def test_keys_that_are_made_opened_remembered_and_destroyed_are_counted(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    keys = UserKeys(SQLiteKeyStore(tmp_path / "keys.db"), lambda _: MASTERS)
    register_keys(keys, registry)
    assert counts(registry) == {}
    keys.get_or_create(["ann", "bob"])
    assert counts(registry) == {"made": 2, "opened": 2, "cache_misses": 2}
    keys.get_or_create(["ann", "carl"])
    assert keys.remembered(["ann", "bob"]) is not None
    assert counts(registry) == {"made": 3, "opened": 3, "cache_misses": 3, "cache_hits": 3}
    keys.destroy(["ann"])
    assert keys.get_or_create(["ann"]) == {"ann": None}  # is asked for each time, and nothing is opened or made
    assert counts(registry) == {"made": 3, "opened": 3, "cache_misses": 4, "cache_hits": 3, "destroyed": 1}
    keys.close()


def test_a_key_that_another_worker_made_first_is_opened_and_not_counted_as_made(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    first, second = (UserKeys(SQLiteKeyStore(tmp_path / "keys.db"), lambda _: MASTERS) for _ in range(2))
    register_keys(second, registry)
    first.get_or_create(["ann"])
    second.get_or_create(["ann"])
    assert counts(registry) == {"opened": 1, "cache_misses": 1}
    first.close()
    second.close()


def test_a_store_that_is_away_is_counted_by_its_error_once(tmp_path: Path) -> None:
    registry, store = CollectorRegistry(), Failing(tmp_path / "keys.db")
    keys = UserKeys(store, lambda _: MASTERS)
    register_keys(keys, registry)
    store.away = True
    with pytest.raises(Unavailable):
        keys.get(["ann"])
    assert registry.get_sample_value(f"{PREFIX}keys_failures_total", {"error": "Unavailable"}) == 1
    keys.close()
