"""Makes converters of what corpora declare. Specs are checked with it: it imports nothing heavy."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cosa.data.frame_digests import frame_name
from cosa.data.media_lookup import Clips, Images
from cosa.datasets.authors.corpus import AuthorOptions, Corpus, Variant, WriteSample
from cosa.datasets.converter import Converter, Need

COVERAGE_FILE = "coverage.json"
_SUFFIXES = {kind: frozenset(map(str.lower, of.suffixes)) for kind, of in (("video", Clips), ("image", Images))}
_FRAMES = frozenset({Path(frame_name(1)).suffix})


@dataclass(frozen=True, kw_only=True)
class AuthorConverter(Converter):
    """A converter of authors' own files. name: of the converter. write_sample: writes a few clips in the authors' layout."""

    name: str
    corpus: Corpus
    write_sample: WriteSample

    @staticmethod
    def of(name: str, corpus: Corpus, write_sample: WriteSample) -> AuthorConverter:
        """Make the converter of a dataset."""
        return AuthorConverter(
            description=f"{corpus.title}: {', '.join(corpus.variants)}",
            options=corpus.options(name),
            function="cosa.datasets.authors.conversion:convert",
            version=corpus.version,
            inputs={"media": "folder", "frames": "folder"},
            name=name,
            corpus=corpus,
            write_sample=write_sample,
        )

    def variant(self, options: Mapping[str, Any]) -> Variant | None:
        """Return the chosen variant; None if there is none of this name."""
        return self.corpus.variants.get(options.get("variant", next(iter(self.corpus.variants))))

    def needs(self, options: Mapping[str, Any]) -> Iterator[Need]:
        """Yield the authors' files by name, as a folder that holds them may also hold a terabyte of videos; and folders of
        media, in which only files count that can be such: not what explains them, nor what is being downloaded."""
        variant = self.variant(options)
        if variant is not None and isinstance(path := options.get("source"), str):
            yield Need("source", path, "folder", variant.files)
        suffixes = {"media": _SUFFIXES[self.corpus.media], "frames": _FRAMES}
        yield from (replace(need, suffixes=suffixes[need.option]) for need in super().needs(options))

    def smoke_options(self, options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        """Write a small generated corpus in the authors' layout, unless it is there; return options that name it."""
        from cosa.datasets.stand_in import FOLDERS, Layout, write_stand_in

        layout = Layout(self.name, self.corpus.media, self.write_sample, self.corpus.version)
        made = write_stand_in(layout, folder, frames="frames" in options)
        return {**options, **{name: str(made / name) for name in FOLDERS if name == "source" or name in options}}

    def run(self, folder: Path, options: Mapping[str, Any]) -> dict[str, int]:
        """Convert the authors' files, write the coverage report, and link folders of media."""
        from cosa.datasets.authors.conversion import convert

        checked = self.options.model_validate(options)
        assert isinstance(checked, AuthorOptions)
        return convert(folder, self.name, self.corpus, checked)

    def report(self, folder: Path, counts: Mapping[str, int]) -> dict[str, Any]:
        """Return how much was found and published of each split, where these differ, and what was left out."""
        del counts
        report: dict[str, Any] = json.loads((folder / COVERAGE_FILE).read_text(encoding="utf-8"))
        return report
