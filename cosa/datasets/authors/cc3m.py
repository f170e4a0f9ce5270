"""Conceptual Captions (Sharma et al., ACL 2018): 3.3 million images of the web with their cleaned alternative texts.

Format: `Train_GCC-training.tsv`, a caption and an address in a line, separated by a tab, without names of columns, as its
download page and img2dataset's example describe it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from cosa.datasets.authors.conceptual_captions import FetchedOptions, captioned, write_table
from cosa.datasets.authors.corpus import Corpus, SampleClip, Split, Variant
from cosa.datasets.authors.source import Source
from cosa.datasets.authors.source_file import SourceFile

_FILE = SourceFile("Train_GCC-training.tsv", also=("Train-GCC-training.tsv", "cc3m.tsv"))
_COLUMNS = ("caption", "url")


def _pretraining(source: Source, options: FetchedOptions) -> Iterator[Split]:
    yield Split("train_desc.json", "captions", captioned(source, _FILE.name, _COLUMNS, options), "train")


CORPUS = Corpus(
    title="CC3M",
    home="https://ai.google.com/research/ConceptualCaptions/",
    terms="Google: free to use, with acknowledgement; the images belong to their owners",
    media="image",
    variants={"pretraining": Variant("pretraining", (_FILE,), _pretraining)},
    own_options=FetchedOptions,
    exact_paths=True,
)


def write_sample(folder: Path, clips: Sequence[SampleClip]) -> list[str]:
    """Write the authors' table for other images; as of `write_table`."""
    return write_table(folder / _FILE.name, _COLUMNS, clips)
