import logging
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.embedders import ModelUnavailable, text_embedder
from connectors.embedders import sentence_transformers as transformers
from connectors.embedders.contract import no_meaning
from connectors.embedders.models import revision
from connectors.embedders.wordllama import WordLlamaEmbedder

QUESTION = "Where can I eat ramen tonight?"


@pytest.fixture(scope="module")
def embedder() -> WordLlamaEmbedder:
    return WordLlamaEmbedder()


def test_texts_that_mean_the_same_are_nearer_than_others(embedder: WordLlamaEmbedder) -> None:
    question, same, other = embedder.embed([QUESTION, "A noodle restaurant for dinner", "The visa expires in May"])

    assert question @ same > question @ other + 0.1


def test_the_model_is_named_with_the_revision_of_its_weights(embedder: WordLlamaEmbedder) -> None:
    name, _, digits = embedder.model.partition("@")

    assert name == "wordllama-l2_supercat"
    assert len(digits) == 12
    assert embedder.dimension == 256


def test_a_text_without_words_has_the_vector_of_no_meaning(embedder: WordLlamaEmbedder) -> None:
    assert embedder.embed([""]).tolist() == [no_meaning(256).tolist()]


def test_no_texts_give_no_rows(embedder: WordLlamaEmbedder) -> None:
    assert embedder.embed([]).shape == (0, 256)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(alphabet=st.characters(exclude_categories=[]), max_size=200), min_size=1, max_size=4))
def test_any_text_gives_a_unit_vector_that_the_rest_of_its_batch_does_not_change(
    embedder: WordLlamaEmbedder, texts: list[str]
) -> None:
    together = embedder.embed(texts)

    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert np.array_equal(together, np.concatenate([embedder.embed([text]) for text in texts]))


def test_the_longest_text_among_short_ones_is_embedded_in_little_memory(
    embedder: WordLlamaEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[int] = []

    class Watched:
        def __init__(self, vectors: Any) -> None:
            self._vectors = vectors

        def __getitem__(self, tokens: list[int]) -> Any:
            looked_up.append(len(tokens))
            return self._vectors[tokens]

    monkeypatch.setattr(embedder, "_vectors", Watched(embedder._vectors))  # pyright: ignore[reportPrivateUsage]
    embedder.embed(["\N{GRINNING FACE}" * 32_768, "short"])

    assert sum(looked_up) > 100_000
    assert max(looked_up) <= 4_096


def test_loading_leaves_the_application_its_logging() -> None:
    root = logging.getLogger()
    before = (root.level, root.handlers[:])

    WordLlamaEmbedder()

    assert (root.level, root.handlers) == before


def test_the_revision_follows_the_bytes_of_the_files(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.write_bytes(b"1" * 3_000_000)
    first = revision([weights])
    weights.touch()
    assert revision([weights]) == first

    weights.write_bytes(b"1" * 2_999_999 + b"2")
    assert revision([weights]) != first


def test_an_optional_model_without_its_library_names_option_and_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)

    with pytest.raises(ModelUnavailable, match=r"embed\.text_model = sentence-transformers.*\[sentence-transformers\]"):
        text_embedder("sentence-transformers", 10)


# The library is an extra and 3 GB with torch: here a stand-in shows how it is called. Checked by hand against
# sentence-transformers 6.2 with the weights of all-MiniLM-L6-v2.
class StandIn:
    def __init__(self, folder: str, *, device: str, local_files_only: bool) -> None:
        assert local_files_only
        assert device == "cpu"
        self.folder = folder

    def encode(self, texts: list[str], *, convert_to_numpy: bool, show_progress_bar: bool) -> Any:
        assert convert_to_numpy
        assert not show_progress_bar
        return np.array([[len(text), 1, 2] for text in texts], dtype=np.float32)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def library(*_: str, **__: str) -> SimpleNamespace:
        return SimpleNamespace(SentenceTransformer=StandIn)

    monkeypatch.setattr(transformers, "library", library)


@pytest.fixture
def empty_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRAVELOS_CACHE", str(tmp_path / "travelos"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


def _put_weights(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "tokenizer.json").write_bytes(b"{}")


@pytest.mark.usefixtures("stand_in")
def test_a_model_that_is_not_on_this_machine_is_an_error_that_says_where_it_was_looked_for(empty_caches: Path) -> None:
    with pytest.raises(ModelUnavailable) as error:
        text_embedder("sentence-transformers", 10)

    assert str(empty_caches / "travelos" / "models" / "all-MiniLM-L6-v2" / "model.safetensors") in str(error.value)
    assert str(empty_caches / "hub" / "models--sentence-transformers--all-MiniLM-L6-v2") in str(error.value)


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize(
    "folder",
    [
        "travelos/models/all-MiniLM-L6-v2",
        "hub/models--sentence-transformers--all-MiniLM-L6-v2/snapshots/abc",
    ],
)
def test_the_transformer_is_found_where_models_lie(empty_caches: Path, folder: str) -> None:
    _put_weights(empty_caches / folder)

    embedder = text_embedder("sentence-transformers", 10)

    assert embedder.model.startswith("all-MiniLM-L6-v2@")
    assert embedder.dimension == 3
    assert np.allclose(np.linalg.norm(embedder.embed(["a", "\ud800b"]), axis=1), 1)
    assert embedder.embed([]).shape == (0, 3)
