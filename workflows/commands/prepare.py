"""`cosa prepare` runs a converter outside of an experiment, and lists which of the authors' files each one reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.padding import Padding

from cosa.datasets.authors.author_converter import AuthorConverter
from cosa.datasets.authors.source_file import SourceFile
from cosa.datasets.converters import CONVERTERS
from cosa.errors import UserError
from cosa.message_text import shown
from workflows.spec.converter_options import option_problems
from workflows.spec.problems import UsageError, did_you_mean
from workflows.terminal.console import PlainConsole, print_fields, table

KINDS = ("captions", "questions", "references", "rows")


def prepare(name: str, out: Path, options: Mapping[str, Any], *, as_json: bool = False) -> None:
    """Run a converter into a folder, which is made if there is none, and print how much it has written.

    Raises:
        UsageError: there is no such converter, or it has no such option.
        UserError: files are missing or unusable; nothing is written.
    """
    if name not in CONVERTERS:
        raise UsageError(f"prepare {name}: no such converter{did_you_mean(name, CONVERTERS)}; `cosa prepare --list` shows all")
    converter = CONVERTERS[name]
    problems = [f"{'.'.join(map(str, field))}: {message}" for field, message in option_problems(converter, options)]
    if problems:
        raise UsageError(f"prepare {name}: {'; '.join(problems)}")
    is_new = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        counts = converter.run(out, options)
    except BaseException as error:
        if is_new and out.is_dir() and not any(out.iterdir()):
            out.rmdir()
        if isinstance(error, OSError):
            raise UserError(f"{shown(error.filename or out)}: {error.strerror or error}") from error
        raise
    report = converter.report(out, counts)
    if as_json:
        print(json.dumps(report, indent=2))
        return
    console = PlainConsole()
    if "files" in report:
        _show_files(console, report["files"])
    else:
        console.print(", ".join(f"{count} {what.replace('_', ' ')}" for what, count in counts.items()))
    for remark in report.get("remarks", ()):
        console.print(f"[yellow]note[/]: {escape(remark)}")
    console.print(f"written to {escape(str(out))}")


def show_sources(*, as_json: bool = False) -> None:
    """List the converters of authors' files: what each is for, which files it takes, and where these are from."""
    known = {name: one for name, one in CONVERTERS.items() if isinstance(one, AuthorConverter)}
    console = PlainConsole()
    if as_json:
        print(json.dumps([_as_json(name, one) for name, one in known.items()], indent=2))
    elif not console.is_terminal:
        print_fields(_lines(known))
    else:
        for name, one in known.items():
            console.print(f"[bold]{escape(name)}[/]  {escape(one.corpus.title)}")
            console.print(Padding.indent(f"[dim]{escape(one.corpus.home)}[/]  {escape(one.corpus.terms)}", 4))
            for variant, what in one.corpus.variants.items():
                console.print(Padding.indent(f"{escape(variant)}: {escape(what.about)}", 4))
                console.print(Padding.indent(escape(_words(what.files)), 8))
        console.print("\n`cosa prepare NAME --source FOLDER --out FOLDER` converts; docs/datasets.md says more of each.")


def _show_files(console: PlainConsole, files: Sequence[Mapping[str, Any]]) -> None:
    listed = table("file", "texts", "clips or images", "published", right=("texts", "clips or images"), unbroken=("file",))
    for one in files:
        kind = next(kind for kind in KINDS if kind in one)
        published = ", ".join(f"{one['published'][what]:,} {what}" for what in (kind, "media") if what in one["published"])
        listed.add_row(escape(one["file"]), f"{one[kind]:,} {kind}", f"{one['media']:,}" if "media" in one else "", published)
    console.print(listed)


def _as_json(name: str, one: AuthorConverter) -> dict[str, Any]:
    variants = [
        {
            "variant": variant,
            "about": what.about,
            "files": [{"names": file.names, "archives": file.archives, "optional": file.optional} for file in what.files],
        }
        for variant, what in one.corpus.variants.items()
    ]
    return {
        "converter": name, "title": one.corpus.title, "home": one.corpus.home, "terms": one.corpus.terms, "variants": variants,
    }  # fmt: skip


def _lines(known: Mapping[str, AuthorConverter]) -> Iterator[tuple[str, ...]]:
    for name, one in known.items():
        for variant, what in one.corpus.variants.items():
            yield name, variant, what.about, _words(what.files), one.corpus.home


def _words(files: Sequence[SourceFile]) -> str:
    """Say which files a variant takes: those that others may take the place of with these, and not once more."""
    instead = {name for file in files for name in file.unless}
    return "; ".join(_of_one(file) for file in files if not (file.optional and file.name in instead))


def _of_one(file: SourceFile) -> str:
    packed = f" (also in {', '.join(file.archives)})" if file.archives else ""
    return f"{' or '.join((*file.names, *file.unless))}{packed}{', if there' if file.optional else ''}"
