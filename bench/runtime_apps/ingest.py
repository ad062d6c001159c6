"""`travelos worker ingest`, which tells how far it is and has the vectors of the benchmark's texts in its cache.

python -m bench.runtime_apps.ingest --bootstrap B --prefix P --folder F [--profile 1]
"""

import argparse
import os

import streams.app
import streams.cli.worker
from bench.runtime.mix import mix
from bench.runtime_apps.progress import report
from bench.runtime_apps.sampler import Sampler
from connectors.embedders import CachedImageEmbedder, CachedTextEmbedder
from connectors.embedders.factory import ImageModel, TextModel, image_embedder, text_embedder
from streams.app import Role, build
from streams.runtime.app import StreamApp
from streams.settings import Options

AGENTS = {"urgent-events", "user-events", "gps-events"}


def main() -> None:
    """Run until told to stop."""
    parser = argparse.ArgumentParser()
    for name in ("--bootstrap", "--prefix", "--folder"):
        parser.add_argument(name, required=True)
    parser.add_argument("--profile", type=int, default=0)
    given = parser.parse_args()
    os.environ |= {"TRAVELOS_DATA_DIR": given.folder, "TRAVELOS_KAFKA_TOPIC_PREFIX": given.prefix}

    def build_watched(role: Role, options: Options) -> StreamApp:
        app = build(role, options)
        report(app, AGENTS)
        if given.profile:
            app.background(Sampler().run)
        return app

    _warm_the_caches()
    # The command itself is run, so that nothing it does for a worker is missing here.
    streams.cli.worker.build = build_watched
    streams.cli.worker.command("ingest", bootstrap=given.bootstrap)


def _warm_the_caches() -> None:
    """Have `build` get embedders that have seen the texts and photos. A worker has them so after its first minutes."""
    known = mix(1)

    def text(name: TextModel, cache_entries: int) -> CachedTextEmbedder:
        embedder = text_embedder(name, cache_entries)
        embedder.embed(known.texts())
        return embedder

    def image(name: ImageModel, cache_entries: int) -> CachedImageEmbedder:
        embedder = image_embedder(name, cache_entries)
        embedder.embed(known.images())
        return embedder

    streams.app.text_embedder = text
    streams.app.image_embedder = image


if __name__ == "__main__":
    main()
