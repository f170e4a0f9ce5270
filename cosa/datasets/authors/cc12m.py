"""Conceptual 12M (Changpinyo et al., CVPR 2021): 12.4 million images of the web with their alternative texts.

Format: `cc12m.tsv`, an address and a caption in a line, separated by a tab, without names of columns, as readers of it on the
Hugging Face hub take it. Names of persons are <PERSON>.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from cosa.datasets.authors.conceptual_captions import FetchedOptions, captioned, write_table
from cosa.datasets.authors.corpus import Corpus, SampleClip, Split, Variant
from cosa.datasets.authors.source import Source
from cosa.datasets.authors.source_file import SourceFile

_FILE = SourceFile("cc12m.tsv")
_COLUMNS = ("url", "caption")


def _pretraining(source: Source, options: FetchedOptions) -> Iterator[Split]:
    yield Split("train_desc.json", "captions", captioned(source, _FILE.name, _COLUMNS, options), "train")


CORPUS = Corpus(
    title="CC12M",
    home="https://github.com/google-research-datasets/conceptual-12m",
    terms="Google: free to use, with acknowledgement; the images belong to their owners",
    media="image",
    variants={"pretraining": Variant("pretraining", (_FILE,), _pretraining)},
    own_options=FetchedOptions,
    exact_paths=True,
)


def write_sample(folder: Path, clips: Sequence[SampleClip]) -> list[str]:
    """Write the authors' table for other images; as of `write_table`."""
    return write_table(folder / _FILE.name, _COLUMNS, clips)
