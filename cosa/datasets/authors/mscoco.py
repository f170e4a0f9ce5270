"""MS COCO captions (Lin et al., ECCV 2014) in Karpathy's splits; `karpathy.py` says where the format is from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cosa.datasets.authors.corpus import Corpus, SampleClip
from cosa.datasets.authors.karpathy import karpathy_file, karpathy_variant, write_karpathy_sample

_FILE = karpathy_file("coco")

CORPUS = Corpus(
    title="MS COCO",
    home="https://cocodataset.org/",
    terms="annotations: CC BY 4.0; the images are Flickr's, under its terms",
    media="image",
    variants={"karpathy": karpathy_variant("captioning and retrieval, Karpathy's splits", _FILE, "train")},
)


def write_sample(folder: Path, clips: Sequence[SampleClip]) -> list[str]:
    """Write the authors' file for other images; return the images' identifiers."""
    names = [f"COCO_val2014_{clip.number:012d}" for clip in clips]
    write_karpathy_sample(folder, _FILE, names, clips, is_coco=True)
    return names
