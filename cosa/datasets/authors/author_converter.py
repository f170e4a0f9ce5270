"""Makes converters of what is said of datasets. Specs are checked with it: it imports nothing heavy."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from cosa.datasets.authors.corpus import AuthorOptions, Corpus, Variant
from cosa.datasets.converter import Converter, Need

COVERAGE_FILE = "coverage.json"


@dataclass(frozen=True)
class AuthorConverter(Converter):
    """A converter of authors' own files. name: of the converter."""

    name: str = ""
    corpus: Corpus | None = None

    @staticmethod
    def of(name: str, corpus: Corpus) -> AuthorConverter:
        """Make the converter of a dataset."""
        return AuthorConverter(
            f"{corpus.title}: {', '.join(corpus.variants)}",
            corpus.options(name),
            "cosa.datasets.authors.conversion:convert",
            corpus.version,
            {"media": "folder", "frames": "folder"},
            name=name,
            corpus=corpus,
        )

    def variant(self, options: Mapping[str, Any]) -> Variant | None:
        """Return the chosen variant; None if there is none of this name."""
        assert self.corpus is not None
        return self.corpus.variants.get(options.get("variant", next(iter(self.corpus.variants))))

    def needs(self, options: Mapping[str, Any]) -> Iterator[Need]:
        """Yield the authors' files, by name: a folder that holds them may also hold a terabyte of videos."""
        variant = self.variant(options)
        if variant is not None and isinstance(path := options.get("source"), str):
            yield Need("source", path, "folder", variant.files)
        yield from super().needs(options)

    def smoke_options(self, options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        """Write a small generated corpus in the authors' layout, unless it is there; return options that name it."""
        from cosa.datasets.stand_in import FOLDERS, Layout, write_stand_in

        assert self.corpus is not None
        module = import_module(f"cosa.datasets.authors.{self.name}")
        layout = Layout(self.name, self.corpus.media, module.write_sample, self.corpus.version)
        made = write_stand_in(layout, folder, frames="frames" in options)
        return {**options, **{name: str(made / name) for name in FOLDERS if name == "source" or name in options}}

    def run(self, folder: Path, options: Mapping[str, Any]) -> dict[str, int]:
        """Convert the authors' files, write the coverage report, and link folders of media."""
        from cosa.datasets.authors.conversion import convert

        assert self.corpus is not None
        checked = self.options.model_validate(options)
        assert isinstance(checked, AuthorOptions)
        return convert(folder, self.name, self.corpus, checked)

    def remarks(self, folder: Path) -> list[str]:
        """Return where the splits differ from the published ones, and what was left out."""
        remarks: list[str] = json.loads((folder / COVERAGE_FILE).read_text(encoding="utf-8"))["remarks"]
        return remarks
