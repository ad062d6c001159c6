from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sinks.folder.keys import MAX_KEY_BYTES, SIDECAR, InvalidKey, path_of, sidecar_of

keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)
nasty = st.lists(
    st.sampled_from(
        ["..", ".", "", "a", "%", "%2E.", "%2E%2E", ".meta.json", "a.meta.json", "a.META.JSON", "\0", "\\", "x" * 300]
    ),
    min_size=1,
    max_size=4,
).map("/".join)


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("photos/u1/p1.png", "photos/u1/p1.png"),
        ("фото/서울 🗽.jpg", "фото/서울 🗽.jpg"),
        ("../../etc/passwd", "%2E./%2E./etc/passwd"),
        ("/absolute", "%/absolute"),
        ("a//b/", "a/%/b/%"),
        (".hidden/.", "%2Ehidden/%2E"),
        ("x.meta.json", "x%2Emeta.json"),
        ("100%", "100%25"),
        ("line\nbreak\\", "line%0Abreak%5C"),
    ],
)
def test_a_key_is_its_path_wherever_that_is_safe(key: str, path: str) -> None:
    assert path_of(key) == PurePosixPath(path)


@given(keys | nasty)
def test_no_key_leaves_the_folder_or_takes_a_name_of_ours(key: str) -> None:
    try:
        path = path_of(key)
    except InvalidKey:
        assert not 0 < len(key.encode()) <= MAX_KEY_BYTES
        return
    assert not path.is_absolute()
    folder = Path("/folder")
    assert (folder / path).resolve().is_relative_to(folder)
    for part in path.parts:
        assert not part.startswith(".")
        assert not part.lower().endswith(SIDECAR)
        assert "\0" not in part
        assert len((part + SIDECAR).encode()) <= 255
    assert len(path.parts) == key.count("/") + 1


@given(keys | nasty, keys | nasty)
def test_two_keys_never_share_a_path(one: str, two: str) -> None:
    if one != two and len(one.encode()) <= MAX_KEY_BYTES and len(two.encode()) <= MAX_KEY_BYTES and one and two:
        assert path_of(one) != path_of(two)


def test_a_long_segment_keeps_its_beginning_and_stays_distinct() -> None:
    one, two = path_of("é" * 400 + "1"), path_of("é" * 400 + "2")
    assert one.name.startswith("é" * 60)
    assert one != two
    assert sidecar_of(one).name.endswith(SIDECAR)


@pytest.mark.parametrize("key", ["", "k" * 1_025, "🗽" * 257, "half \ud83d"])
def test_a_key_that_can_be_no_path_is_refused_by_name(key: str) -> None:
    with pytest.raises(InvalidKey, match="`key`"):
        path_of(key)
