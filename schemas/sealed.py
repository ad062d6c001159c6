"""What was sealed as a whole: the content of a write, with the key of the person whom it is about.

What says where a write belongs (its entity, version, source, node, table, key) stays readable, so whoever only passes
it on, orders it or deletes its entity needs no key.
"""

from collections.abc import Mapping

from msgspec import Struct

ERASED_KEY = "erased"  # id of no key: what was sealed for a person whose key was destroyed is nothing


class SealedContent(Struct, frozen=True, kw_only=True, gc=False):
    """A content that only the key of a person opens.

    Attributes:
        user_id: whose key.
        key_id: which of their keys; `ERASED_KEY`: it was destroyed, and nothing of the content was kept.
        data: nonce, ciphertext and tag of AES-256-GCM, over MessagePack.
    """

    user_id: str
    key_id: str
    data: bytes


# The fields that are content, by the store of a write. What is not named says where it belongs.
CONTENT: Mapping[str, tuple[str, ...]] = {
    "graph": ("properties",),
    "vector": ("values", "text", "metadata"),
    "search": ("name", "text", "lat", "lon", "score", "fields"),
    "timeseries": ("fields",),
    "objects": ("data", "reference", "metadata"),
    "relational": ("columns",),
    "cache": ("value",),
    "warehouse": ("body",),
}
