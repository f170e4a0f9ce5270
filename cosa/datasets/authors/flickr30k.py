"""Flickr30K (Young et al., TACL 2014) in Karpathy's splits; `karpathy.py` says where the format is from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cosa.datasets.authors.corpus import Corpus, SampleClip
from cosa.datasets.authors.karpathy import karpathy_file, karpathy_variant, write_karpathy_sample

_FILE = karpathy_file("flickr30k")

CORPUS = Corpus(
    title="Flickr30K",
    home="https://shannon.cs.illinois.edu/DenotationGraph/",
    terms="non-commercial research and education, on request; the images are Flickr's, under its terms",
    media="image",
    variants={
        "karpathy": karpathy_variant(
            "retrieval, Karpathy's splits, trained on training and validation together", _FILE, "trainval"
        )
    },
)


def write_sample(folder: Path, clips: Sequence[SampleClip]) -> list[str]:
    """Write the authors' file for other images; return the images' identifiers."""
    names = [f"{1000000000 + clip.number}" for clip in clips]
    write_karpathy_sample(folder, _FILE, names, clips)
    return names
