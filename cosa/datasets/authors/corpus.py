"""What a converter says of a dataset: which of its authors' files it reads, and which annotation files it writes of them.

Only the standard library and pydantic are imported, because specs are checked with the options.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from cosa.datasets.authors.source import Source
from cosa.datasets.authors.source_file import SourceFile

Entry = dict[str, Any]
SampleSplit = Literal["train", "validation", "test"]


class AuthorOptions(BaseModel):
    """Options of converters that read authors' own files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(description="folder of the authors' files, as they are downloaded")
    media: str | None = Field(None, description="folder of the clips or images; left out: nobody looks whether they are there")
    frames: str | None = Field(None, description="folder of frames that exist already, <clip>/frame_0001.jpg, ...")
    missing: Literal["error", "leave_out"] = Field(
        "error", description="what becomes of annotations whose clip or image has no file"
    )


@dataclass(frozen=True)
class Split:
    """An annotation file to write.

    file: its name. kind: what its entries are; `table` is for people and tools, and not counted. entries: read once.
    use: whether models learn from it or are evaluated on it.
    """

    file: str
    kind: Literal["captions", "questions", "references", "table"]
    entries: Iterable[Entry]
    use: Literal["train", "evaluate", "other"] = "evaluate"


@dataclass(frozen=True)
class Variant:
    """One way to use a dataset: the files that it needs, and a function of these that returns what to write."""

    about: str
    files: tuple[SourceFile, ...]
    convert: Callable[[Source, Any], Iterable[Split]]


@dataclass(frozen=True)
class Corpus:
    """A dataset.

    home: its page. terms: licence, or who may use it. variants: the first is the usual one. own_options: more options than all
    have. exact_paths: whether annotations say in which folder below `media` each file is, so that no index of millions of names
    is made. prefix: of identifiers, which names of files may lack. version: raise it when it would write something else of the
    same files.
    """

    title: str
    home: str
    terms: str
    media: Literal["video", "image"]
    variants: Mapping[str, Variant]
    own_options: type[AuthorOptions] = AuthorOptions
    exact_paths: bool = False
    prefix: str = ""
    version: int = 1

    def options(self, name: str) -> type[AuthorOptions]:
        """Make the model of its options. name: of the converter."""
        names = tuple(self.variants)
        chosen = Field(names[0], description=f"what for: {', '.join(names)}")
        fields: dict[str, Any] = {"variant": (Literal[names], chosen)}
        return create_model(f"{name}_options", __base__=self.own_options, **fields)


@dataclass(frozen=True)
class SampleClip:
    """A clip or image of a stand-in corpus, of which `write_sample` functions write annotations as the authors would.

    number: from 0, over all splits. captions: at least one. questions: with their answers.
    """

    number: int
    split: SampleSplit
    captions: tuple[str, ...]
    questions: tuple[tuple[str, str], ...] = ()


# Writes annotations of clips into a folder, and returns the clips' identifiers: an empty one where the dataset lacks the split.
WriteSample = Callable[[Path, Sequence[SampleClip]], Sequence[str]]
