"""What transactions do to a partition of a table and is not durable yet, where the next ones see it."""

from collections.abc import Iterable

from streams.runtime.entries import Changes

Layer = dict[bytes, tuple[bytes, bool]]  # key -> entry, whether it is a delete


class Staged:
    """The changes of transactions that are on their way to the changelog, the latest on top."""

    def __init__(self) -> None:
        self._layers: list[Layer] = []

    def __bool__(self) -> bool:
        return bool(self._layers)

    def add(self, changes: Changes) -> Layer:
        """Put changes on top; return what to `drop` when they are durable, or will never be."""
        layer: Layer = {key: (entry, False) for key, entry in changes.puts}
        layer.update((key, (entry, True)) for key, entry, _ in changes.deletes)
        self._layers.append(layer)
        return layer

    def drop(self, layer: Layer) -> None:
        """Forget changes."""
        self._layers = [one for one in self._layers if one is not layer]

    def get(self, key: bytes) -> bytes | None:
        """Return the latest entry of a key, which has no value when the key was deleted; None when none changed it."""
        for layer in reversed(self._layers):
            if key in layer:
                return layer[key][0]
        return None

    def over(self, rows: Iterable[tuple[bytes, bytes]], first: bytes, end: bytes) -> list[tuple[bytes, bytes]]:
        """Return rows from `first` to before `end` as they are with the changes, in the order of keys."""
        found = dict(rows)
        for layer in self._layers:
            for key, (entry, deleted) in layer.items():
                if not first <= key < end:
                    continue
                if deleted:
                    found.pop(key, None)
                else:
                    found[key] = entry
        return sorted(found.items())
