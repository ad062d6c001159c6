from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.embedders import CachedImageEmbedder, CachedTextEmbedder, ImageError, Vector
from connectors.embedders.contract import unit_rows


class Lengths:
    """A text model that tells what it was asked."""

    model = "lengths@1"
    dimension = 2

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def embed(self, texts: Sequence[str]) -> Vector:
        self.calls.append(list(texts))
        return unit_rows(np.array([[len(text) + 1, 1] for text in texts]))


class Sizes:
    """An image model that takes an empty file for a broken one."""

    model = "sizes@1"
    dimension = 2

    def __init__(self) -> None:
        self.calls: list[list[bytes]] = []

    def embed(self, images: Sequence[bytes]) -> list[Vector | ImageError]:
        self.calls.append(list(images))
        return [unit_rows(np.array([[len(data), 1]]))[0] if data else ImageError("empty") for data in images]


def test_a_batch_is_one_call_of_the_model_with_each_text_once() -> None:
    model = Lengths()
    cached = CachedTextEmbedder(model, 10)

    vectors = cached.embed(["a", "bb", "a", "bb", "a"])

    assert model.calls == [["a", "bb"]]
    assert np.array_equal(vectors, Lengths().embed(["a", "bb", "a", "bb", "a"]))
    assert (cached.hits, cached.misses) == (3, 2)


def test_a_text_seen_before_does_not_reach_the_model() -> None:
    model = Lengths()
    cached = CachedTextEmbedder(model, 10)
    cached.embed(["a", "b"])

    cached.embed(["b", "c"])
    cached.embed(["a", "b", "c"])

    assert model.calls == [["a", "b"], ["c"]]
    assert (cached.hits, cached.misses) == (4, 3)


def test_the_texts_used_longest_ago_are_forgotten_first() -> None:
    model = Lengths()
    cached = CachedTextEmbedder(model, 2)
    for texts in (["a"], ["b"], ["a"], ["c"], ["a"], ["b"]):
        cached.embed(texts)

    assert model.calls == [["a"], ["b"], ["c"], ["b"]]


def test_with_no_entries_only_the_repeats_within_a_batch_are_saved() -> None:
    model = Lengths()
    cached = CachedTextEmbedder(model, 0)

    assert len(cached.embed(["a", "a"])) == 2
    assert len(cached.embed(["a"])) == 1
    assert model.calls == [["a"], ["a"]]


@given(st.lists(st.lists(st.sampled_from(["", "a", "bb", "ccc", "\ud800", "?"]), max_size=6)), st.integers(0, 4))
def test_the_cache_changes_no_vector(batches: list[list[str]], entries: int) -> None:
    model, cached = Lengths(), CachedTextEmbedder(Lengths(), entries)

    for texts in batches:
        expected = model.embed(texts) if texts else np.empty((0, 2), dtype=np.float32)
        assert np.array_equal(cached.embed(texts), expected)
    assert cached.hits + cached.misses == sum(len(texts) for texts in batches)


def test_writing_into_an_answer_does_not_spoil_the_next_one() -> None:
    cached = CachedTextEmbedder(Lengths(), 10)
    first = cached.embed(["a"])
    expected = first.copy()

    first[:] = 0

    assert np.array_equal(cached.embed(["a"]), expected)


def test_a_call_that_fails_leaves_nothing_behind() -> None:
    class Failing(Lengths):
        def embed(self, texts: Sequence[str]) -> Vector:
            if not self.calls:
                self.calls.append([])
                raise RuntimeError("out of memory")
            return super().embed(texts)

    cached = CachedTextEmbedder(Failing(), 10)
    with pytest.raises(RuntimeError, match="out of memory"):
        cached.embed(["a"])

    assert (cached.hits, cached.misses) == (0, 0)
    assert len(cached.embed(["a"])) == 1


def test_a_broken_image_is_remembered_as_broken_and_stops_no_other() -> None:
    model = Sizes()
    cached = CachedImageEmbedder(model, 10)

    for _ in range(2):
        good, broken, again = cached.embed([b"data", b"", b"data"])
        assert isinstance(broken, ImageError)
        assert np.array_equal(np.asarray(good), np.asarray(again))
    assert model.calls == [[b"data", b""]]
    assert (cached.hits, cached.misses) == (4, 2)


def test_the_vectors_of_images_are_shared_and_cannot_be_written_to() -> None:
    vector = CachedImageEmbedder(Sizes(), 10).embed([b"data"])[0]

    assert isinstance(vector, np.ndarray)
    with pytest.raises(ValueError, match="read-only"):
        vector[0] = 1


def test_the_cache_answers_for_the_model_behind_it() -> None:
    assert (CachedTextEmbedder(Lengths(), 1).model, CachedTextEmbedder(Lengths(), 1).dimension) == ("lengths@1", 2)
    assert (CachedImageEmbedder(Sizes(), 1).model, CachedImageEmbedder(Sizes(), 1).dimension) == ("sizes@1", 2)


def test_a_negative_size_names_the_option() -> None:
    with pytest.raises(ValueError, match=r"embed\.cache_entries"):
        CachedTextEmbedder(Lengths(), -1)
