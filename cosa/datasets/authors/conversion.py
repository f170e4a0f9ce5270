"""Converts authors' files to annotation files: all of them are written, with a report, or none is."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cosa.data.media_ids import check_media_id
from cosa.datasets.authors.author_converter import COVERAGE_FILE
from cosa.datasets.authors.corpus import AuthorOptions, Corpus, Entry, Split
from cosa.datasets.authors.coverage import SplitCoverage, report
from cosa.datasets.authors.media_names import Finder, media_finder
from cosa.datasets.authors.source import Source
from cosa.datasets.authors.source_file import found_files, missing_files
from cosa.errors import DataError
from cosa.message_text import quoted, shown

GUIDE = "docs/datasets.md"
_ENCODER = json.JSONEncoder(ensure_ascii=False)
_PLAIN_ID = re.compile(r"[\w\-]{1,100}(/[\w\-]{1,100})*", re.ASCII)  # It needs no closer look.
_SURROGATE = re.compile("[\ud800-\udfff]")
_TEXTS = {"captions": "desc", "questions": "question", "references": "caption"}
_NOT_AS_EXPECTED = (KeyError, IndexError, TypeError, ValueError, AttributeError)


def convert(folder: Path, name: str, corpus: Corpus, options: AuthorOptions) -> dict[str, int]:
    """Write annotation files and `coverage.json` into a folder, and link folders of media as `media` and `frames`.

    Args:
        folder: exists. Files in it stay as they are.
        name: of the converter, by which published sizes are known.
        corpus: what to convert.
        options: of the corpus; `variant` says which way of using it.

    Returns:
        how many captions and questions were written, by split.

    Raises:
        DataError: files of the authors are missing or not as they publish them, annotations name media that have no file, or
            files to write exist already. Nothing is written.
    """
    chosen: str = getattr(options, "variant")  # noqa: B009  the model of options is made with it
    variant, source_folder = corpus.variants[chosen], Path(options.source).expanduser()
    places = found_files(source_folder, variant.files)
    lacking = missing_files(variant.files, places)
    if lacking:
        names = ", ".join(" or ".join(file.names) for file in lacking)
        raise DataError(f"{shown(source_folder)} lacks {names} ({corpus.title}, {chosen}); {GUIDE} says where they are from")
    source = Source(source_folder, places)
    finder = media_finder(corpus, options)
    with _scratch(folder) as scratch:
        splits = _checked(variant.convert(source, options), source, corpus)
        covered = [_write(split, scratch, source, corpus, finder) for split in splits]
        _require_contents(covered, options, corpus)
        read = {file: place.below(source_folder) for file, place in places.items()}
        text = json.dumps(report(name, chosen, read, covered), indent=1) + "\n"
        (scratch / COVERAGE_FILE).write_text(text, encoding="utf-8")
        _put_in_place(scratch, folder)
    for link in ("media", "frames"):
        if (target := getattr(options, link)) is not None and not os.path.lexists(folder / link):
            (folder / link).symlink_to(Path(target).expanduser().absolute(), target_is_directory=True)
    counted = (one for one in covered if one.kind in ("captions", "questions"))
    return {f"{one.file.partition('_')[0]}_{one.kind}": one.amount for one in counted}


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """Make a folder inside another for files that are not complete yet; it is removed, whatever happens."""
    made = Path(tempfile.mkdtemp(prefix=".prepare-", dir=folder))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _checked(items: Iterable[Any], source: Source, corpus: Corpus) -> Iterator[Any]:
    """Pass on what a conversion yields, and report a record that it could not use with its place."""
    iterator = iter(items)
    while True:
        try:
            item = next(iterator)
        except StopIteration:
            return
        except _NOT_AS_EXPECTED as error:
            what = f"the field {error} is missing" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
            raise DataError(f"{source.place}: {what}; expected a record as {corpus.title} is published, see {GUIDE}") from error
        yield item


def _write(split: Split, folder: Path, source: Source, corpus: Corpus, finder: Finder | None) -> SplitCoverage:
    """Write one file; return what became of its entries."""
    entries = _checked(split.entries, source, corpus)
    with (folder / split.file).open("x", encoding="utf-8", newline="") as file:
        coverage = SplitCoverage(split)
        if split.kind == "table":
            coverage.amount = _write_table(entries, file)
            return coverage
        media: dict[str, None] = {}
        file.write('{"annotations": [' if split.kind == "references" else "[")
        separator = "\n"
        for entry in _usable(entries, split, coverage, source, finder):
            file.write(separator + _ENCODER.encode(entry))
            separator = ",\n"
            if split.kind == "references":
                media[entry["video_id"]] = None
        images = json.dumps([{"id": media_id} for media_id in media], ensure_ascii=False)
        file.write(f'\n],\n"images": {images}}}\n' if split.kind == "references" else "\n]\n")
    return coverage


def _write_table(entries: Iterable[Entry], file: Any) -> int:
    """Write a table, and return how many rows it has."""
    writer: csv.DictWriter[str] | None = None
    rows = 0
    for entry in entries:
        if writer is None:
            writer = csv.DictWriter(file, list(entry), lineterminator="\n")
            writer.writeheader()
        writer.writerow(entry)
        rows += 1
    return rows


def _usable(
    entries: Iterable[Entry], split: Split, coverage: SplitCoverage, source: Source, finder: Finder | None
) -> Iterator[Entry]:
    """Yield entries that have text and a medium, under the name of its file, and count them and the others."""
    field = _TEXTS[split.kind]
    for entry in entries:
        wanted = str(entry["video_id"])
        if not _PLAIN_ID.fullmatch(wanted):
            _check(wanted, source)
        texts = [text for text in map(_clean, _listed(entry[field])) if text]
        answers = [text for text in map(_clean, _listed(entry["answer"])) if text] if "answer" in entry else None
        media_id = wanted if finder is None else finder(wanted)
        if not texts or answers == []:
            coverage.empty.add(wanted)
        elif media_id is None:
            coverage.missing.add(wanted)
        else:
            coverage.add(media_id, texts)
            made = {**entry, "video_id": media_id, field: texts if isinstance(entry[field], list) else texts[0]}
            if answers is not None:
                made["answer"] = answers if isinstance(entry["answer"], list) else answers[0]
            yield made


def _check(media_id: str, source: Source) -> None:
    try:
        check_media_id(media_id)
    except DataError as error:
        raise DataError(f"{source.place}: {error}") from error


def _listed(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value]


def _clean(text: object) -> str:
    """Return a text on one line, without blanks around it; nothing if it is no text that a file can hold."""
    if not isinstance(text, str):
        return ""
    line = " ".join(text.split())
    return line if line.isascii() or not _SURROGATE.search(line) else ""


def _require_contents(found: Iterable[SplitCoverage], options: AuthorOptions, corpus: Corpus) -> None:
    """Refuse a conversion that lacks media, unless these may be left out, or whose splits are empty."""
    for one in found:
        if one.missing.count and options.missing == "error":
            more = one.missing.count - len(one.missing.names)
            names = ", ".join(map(shown, one.missing.names)) + (f" and {more:,} more" if more else "")
            kind = "clips" if corpus.media == "video" else "images"
            where = shown(options.media or options.frames)
            raise DataError(
                f"{where} lacks {one.missing.count:,} {kind} that {one.file} would name: {names}; put them there, or leave "
                "out their annotations with the option missing: leave_out"
            )
        if not one.amount:
            raise DataError(f"{one.file} would be empty: no {one.kind} of {corpus.title} can be used; see {GUIDE}")


def _put_in_place(scratch: Path, folder: Path) -> None:
    """Move all files into the folder.

    Raises:
        DataError: some exist there already.
    """
    names = sorted(path.name for path in scratch.iterdir())
    there = [name for name in names if (folder / name).exists() and name != COVERAGE_FILE]
    if there:
        raise DataError(f"{shown(folder)} holds {', '.join(map(quoted, there))} already; remove them, or choose another folder")
    for name in names:
        (scratch / name).replace(folder / name)
