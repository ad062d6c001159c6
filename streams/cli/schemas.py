"""`travelos schemas`: the generated files, their released versions, and whether both still fit the code."""

import difflib
import json
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

import schemas
from schemas.document import events_page
from schemas.generate import SUBJECTS, as_text, generate, json_schema
from schemas.releases import breaches, next_version
from streams.cli.common import AsJson, Exit, fail, out, print_json, print_rows

Folder = Annotated[
    Path | None, typer.Option("--folder", help="Folder of the generated files; default the package's own.")
]
Subject = Annotated[str, typer.Argument(help="Name of a subject; `travelos schemas list` shows them.")]
AnySubject = Annotated[str | None, typer.Argument(help="Name of a subject.", show_default=False)]
All = Annotated[bool, typer.Option("--all", help="Every subject that changed.")]
OfVersion = Annotated[int | None, typer.Option("--version", help="A released version instead of the present one.")]

app = typer.Typer(help="JSON Schemas and the AsyncAPI document: generate, check, release.", no_args_is_help=True)


@app.command("generate")
def write_generated(folder: Folder = None) -> None:
    """Write the files that follow from the code: JSON Schemas, the AsyncAPI document and docs/events.md.

    Exit codes: 0 written, 1 a file cannot be written.
    """
    tree = _tree(folder)
    for path, text in tree.wanted().items():
        if not path.is_file() or path.read_text("utf-8") != text:
            _write(path, text)
            out.print(f"wrote {path}", highlight=False, soft_wrap=True)
    for path in tree.stale():
        path.unlink()
        out.print(f"deleted {path}", highlight=False, soft_wrap=True)


@app.command()
def check(folder: Folder = None, as_json: AsJson = False) -> None:
    """Find generated files that do not fit the code, and changes that make released records unreadable.

    The present schemas have to be BACKWARD_TRANSITIVE compatible: able to read what was written with any released
    version.

    Exit codes: 0 all is well, 1 something is not.
    """
    tree = _tree(folder)
    drift = tree.drift()
    broken = breaches(_current(), tree.released())
    if as_json:
        rows = [
            {"subject": one.subject, "version": one.version, "path": one.path, "reason": one.reason} for one in broken
        ]
        print_json({"drift": drift, "incompatible": rows})
    else:
        for problem in (*drift, *(str(one) for one in broken)):
            out.print(problem, highlight=False, markup=False, soft_wrap=True)
    if drift and not as_json:
        fail("generated files do not fit the code: run `travelos schemas generate`")
    if drift or broken:
        raise typer.Exit(Exit.FAILED)


@app.command()
def release(subject: AnySubject = None, every: All = False, folder: Folder = None) -> None:
    """Add the present schema of a subject as its next version. From then on it can be relied on for ever.

    Exit codes: 0 released or unchanged, 1 refused because released records would become unreadable, 2 wrong arguments.
    """
    if (subject is None) is not every:
        fail("name a subject or give --all", Exit.USAGE)
    tree = _tree(folder)
    chosen = list(SUBJECTS) if subject is None else [_known(subject)]
    released = tree.released()
    current = _current()
    broken = breaches(current, {name: released.get(name, {}) for name in chosen})
    if broken:
        fail("\n".join(["refused, released records would become unreadable:", *(str(one) for one in broken)]))
    for name in chosen:
        version = next_version(current[name], released.get(name, {}))
        if version is not None:
            _write(tree.folder / "versions" / name / f"{version}.json", as_text(current[name]))
        out.print(f"{name}: {'unchanged' if version is None else f'version {version}'}", highlight=False)


@app.command("list")
def list_subjects(folder: Folder = None, as_json: AsJson = False) -> None:
    """Print the subjects with their last released version, and whether they changed since.

    Exit codes: 0 printed.
    """
    released = _tree(folder).released()
    rows: list[dict[str, Any]] = []
    for name, schema in _current().items():
        versions = released.get(name, {})
        changed = next_version(schema, versions) is not None
        rows.append({"subject": name, "version": max(versions, default=None), "changed": changed})
    print_rows(rows, as_json=as_json)


@app.command()
def show(subject: Subject, version: OfVersion = None, folder: Folder = None) -> None:
    """Print the JSON Schema of a subject.

    Exit codes: 0 printed, 2 no such subject or version.
    """
    name = _known(subject)
    if version is None:
        print_json(json_schema(name))
        return
    versions = _tree(folder).released().get(name, {})
    if version not in versions:
        known = ", ".join(str(number) for number in sorted(versions)) or "none"
        fail(f"{name} has no version {version}; released: {known}", Exit.USAGE)
    print_json(versions[version])


class _Tree(NamedTuple):
    """The files on disk. `page` is docs/events.md where there is a source tree."""

    folder: Path
    page: Path | None

    def wanted(self) -> dict[Path, str]:
        files = {self.folder / path: text for path, text in generate().items()}
        return files if self.page is None else {**files, self.page: events_page()}

    def stale(self) -> list[Path]:
        return sorted(set((self.folder / "jsonschema").glob("*.json")) - self.wanted().keys())

    def drift(self) -> list[str]:
        found = [f"{path} is missing" for path in self.wanted() if not path.is_file()]
        found += [
            f"{path} differs"
            for path, text in self.wanted().items()
            if path.is_file() and path.read_text("utf-8") != text
        ]
        return found + [f"{path} is of no subject" for path in self.stale()]

    def released(self) -> dict[str, dict[int, dict[str, Any]]]:
        found: dict[str, dict[int, dict[str, Any]]] = {}
        for path in sorted((self.folder / "versions").glob("*/*.json")):
            try:
                found.setdefault(path.parent.name, {})[int(path.stem)] = json.loads(path.read_text("utf-8"))
            except ValueError as error:
                fail(f"{path} is no released version: {error}")
        return found


def _tree(folder: Path | None) -> _Tree:
    root = folder or Path(schemas.__file__).parent / "generated"
    source = root.absolute().parents[1]
    page = source / "docs" / "events.md" if (source / "pyproject.toml").is_file() else None
    return _Tree(root, page)


def _current() -> dict[str, dict[str, Any]]:
    return {subject: json_schema(subject) for subject in SUBJECTS}


def _known(subject: str) -> str:
    if subject not in SUBJECTS:
        near = difflib.get_close_matches(subject, SUBJECTS, n=1)
        fail(f"no subject `{subject}`" + (f"; did you mean `{near[0]}`?" if near else ""), Exit.USAGE)
    return subject


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}")
