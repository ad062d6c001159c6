"""The index template: analyzers, mapping, aliases. Pure."""

from collections.abc import Mapping
from typing import Any, Literal

from connectors.sinks.elasticsearch.options import ElasticsearchOptions

Korean = Literal["nori", "bigram", "none"]

SCHEMA = 1  # rises when an index that was made before has to be made anew
ENGLISH, KOREAN = "travelos_english", "travelos_korean"

# Folds accents, which the built-in analyzer `english` does not: "cafe" finds "Café".
_ENGLISH = {"tokenizer": "standard", "filter": ["lowercase", "asciifolding", "stop", "porter_stem"]}
_KOREAN: Mapping[Korean, dict[str, Any]] = {
    "nori": {"tokenizer": "nori_tokenizer", "filter": ["nori_part_of_speech", "nori_readingform", "lowercase"]},
    "bigram": {"tokenizer": "standard", "filter": ["cjk_width", "lowercase", "cjk_bigram"]},
}

# Whoever asks the alias sees the documents that hold, and nothing of the account that is kept beside them.
VISIBLE: dict[str, Any] = {"bool": {"must_not": {"exists": {"field": "state"}}}}


def analysis_probe(korean: Korean) -> dict[str, Any]:
    """Return an _analyze request that a node refuses when it has not what the analyzer needs."""
    return {"text": "서울 맛집", **_KOREAN[korean]}


def template(options: ElasticsearchOptions, korean: Korean) -> dict[str, Any]:
    """Return the index template of all indexes behind the alias."""
    analyzers = {ENGLISH: {"type": "custom", **_ENGLISH}}
    if korean != "none":
        analyzers[KOREAN] = {"type": "custom", **_KOREAN[korean]}
    settings = {
        "number_of_shards": options.shards,
        "number_of_replicas": options.replicas,
        "refresh_interval": f"{int(options.refresh_seconds * 1_000)}ms",
        "analysis": {"analyzer": analyzers},
    }
    return {
        "index_patterns": [f"{options.index}-*"],
        "priority": 500,
        "version": SCHEMA,
        "_meta": {"made_by": "travelos"},
        "template": {"settings": {"index": settings}, "mappings": mapping(korean)},
    }


def mapping(korean: Korean) -> dict[str, Any]:
    """Return the mapping. Unknown names are kept in the document but not indexed; `fields` takes names of all kinds.

    `fields` is flattened: each value is found as a keyword, a thousand names are one field of the mapping, and the same
    name may be a number in one document and a text in another, which would otherwise refuse the second one.
    """
    name, text = _text(korean), _text(korean)
    name["fields"]["keyword"] = {"type": "keyword", "ignore_above": 256}
    return {
        "dynamic": False,
        "_meta": {"schema": SCHEMA, "korean": korean},
        "properties": {
            "entity": {"type": "keyword"},
            "source": {"type": "keyword"},
            "state": {"type": "keyword"},
            "occurred_at": {"type": "date"},
            "kind": {"type": "keyword", "ignore_above": 1_024},
            "name": name,
            "text": text,
            "location": {"type": "geo_point"},
            "score": {"type": "double"},
            "fields": {"type": "flattened", "ignore_above": 8_191},
        },
    }


def differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Return the fields of an index that are not indexed as they should be."""
    there: Mapping[str, Any] = found.get("properties", {})
    return [
        name
        for name, field in wanted["properties"].items()
        if any(there.get(name, {}).get(part) != field.get(part) for part in ("type", "analyzer"))
    ]


def alias_actions(options: ElasticsearchOptions, index: str, old: str | None = None) -> list[dict[str, Any]]:
    """Return what makes an index the one that is read and written, in one step with taking that from another."""
    actions: list[dict[str, Any]] = [
        {"add": {"index": index, "alias": options.index, "filter": VISIBLE}},
        {"add": {"index": index, "alias": options.write_alias, "is_write_index": True}},
    ]
    if old is not None:
        actions += [{"remove": {"index": old, "alias": alias}} for alias in (options.index, options.write_alias)]
    return actions


def number_of(options: ElasticsearchOptions, index: str) -> int:
    """Return the number of an index behind the alias; 0 for any other."""
    number = index.removeprefix(f"{options.index}-")
    return int(number) if number.isdecimal() else 0


def _text(korean: Korean) -> dict[str, Any]:
    korean_field = {"korean": {"type": "text", "analyzer": KOREAN}} if korean != "none" else {}
    return {"type": "text", "analyzer": ENGLISH, "fields": {**korean_field}}
