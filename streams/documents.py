"""The generated pages of docs/: `python -m streams.documents` writes them, with `--check` it compares them only."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from connectors.cdc.types_document import types_page
from schemas.document import events_page
from streams.archive.metrics import METRICS as ARCHIVE_METRICS
from streams.cdc_metrics_document import cdc_metrics_page
from streams.cli.common import fail, out
from streams.conflicts.metrics import METRICS as CONFLICT_METRICS
from streams.delivery.metrics import METRICS
from streams.embed_metrics import METRICS as EMBED_METRICS
from streams.erasure.metrics import HOLD_METRICS
from streams.erasure.metrics import METRICS as ERASURE_METRICS
from streams.key_metrics import METRICS as KEY_METRICS
from streams.routing.document import routing_page
from streams.runtime.metrics_document import metrics_page
from streams.sagas.document import sagas_page
from streams.sagas.metrics import METRICS as SAGA_METRICS
from streams.settings.document import configuration_page

PAGES: Mapping[str, Callable[[], str]] = {
    "cdc-metrics.md": cdc_metrics_page,
    "cdc-types.md": types_page,
    "configuration.md": configuration_page,
    "events.md": events_page,
    "metrics.md": partial(
        metrics_page,
        deliveries=METRICS,
        sagas=SAGA_METRICS,
        conflicts=CONFLICT_METRICS,
        archive=ARCHIVE_METRICS,
        erasures=(*ERASURE_METRICS, *HOLD_METRICS),
        keys=KEY_METRICS,
        vectors=EMBED_METRICS,
    ),
    "routing.md": routing_page,
    "sagas-declared.md": sagas_page,
}

Folder = Annotated[Path, typer.Option("--folder", help="Where the pages lie.")]
Check = Annotated[bool, typer.Option("--check", help="Write nothing; say which pages do not fit the code.")]


def command(folder: Folder = Path("docs"), check: Check = False) -> None:
    """Write the pages of docs/ that follow from the code.

    Exit codes: 0 written, or with --check all fit, 1 a page cannot be written or does not fit.
    """
    texts = {folder / name: page() for name, page in PAGES.items()}
    stale = [path for path, text in texts.items() if not path.is_file() or path.read_text("utf-8") != text]
    if check and stale:
        fail(f"{', '.join(str(path) for path in stale)} do not fit the code: run `python -m streams.documents`")
    for path in stale:
        try:
            path.write_text(texts[path], "utf-8")
        except OSError as error:
            fail(f"{path} cannot be written: {error.strerror}")
        out.print(f"wrote {path}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    typer.run(command)
