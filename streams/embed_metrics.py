"""How often the models are asked, for Prometheus. It is read from what counts it when somebody asks."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from connectors.embedders import CachedImageEmbedder, CachedTextEmbedder
from streams.agents.embed import Embedders
from streams.runtime.metrics import Metric

VECTORS = Metric(
    "embed_vectors_total",
    "counter",
    ("content", "from"),
    "Vectors of texts and images, by where each came from: `model`, `memory` (`embed.cache_entries`), or `kept` (the "
    "text of a place that is what it was, also for another worker).",
)

METRICS = (VECTORS,)


def register_embedders(
    embedders: Embedders, texts: CachedTextEmbedder, images: CachedImageEmbedder, registry: CollectorRegistry
) -> None:
    """Have a registry show where vectors come from."""
    registry.register(_Counts(embedders, texts, images))


class _Counts(Collector):
    def __init__(self, embedders: Embedders, texts: CachedTextEmbedder, images: CachedImageEmbedder) -> None:
        self._embedders = embedders
        self._texts = texts
        self._images = images

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Read the values."""
        family = CounterMetricFamily(VECTORS.full_name, VECTORS.about, labels=VECTORS.labels)
        for content, one in (("text", self._texts), ("image", self._images)):
            family.add_metric((content, "model"), one.misses)
            family.add_metric((content, "memory"), one.hits)
        family.add_metric(("text", "kept"), self._embedders.kept)
        yield family
