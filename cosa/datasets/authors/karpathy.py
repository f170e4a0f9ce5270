"""Images with five captions each, in the splits and the form of Karpathy and Fei-Fei (CVPR 2015).

Format: `caption_datasets.zip` with dataset_coco.json and dataset_flickr30k.json, {images: [{filename, filepath, split, cocoid,
sentids, sentences: [{raw, tokens, ...}]}]}, as public readers of both take them. COCO's split restval is part of training.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from cosa.datasets.authors.corpus import SampleClip, Split, Variant
from cosa.datasets.authors.entries import each_by_itself, references, together
from cosa.datasets.authors.source import Source
from cosa.datasets.authors.source_file import SourceFile

_TRAINED = {"train": "train", "restval": "train", "val": "val", "test": "test"}


def karpathy_file(name: str) -> SourceFile:
    """Return the file of one dataset: coco or flickr30k."""
    return SourceFile(
        f"dataset_{name}.json", folders=("caption_datasets", "karpathy", name), archives=("caption_datasets.zip",)
    )


def karpathy_variant(about: str, file: SourceFile, trained_on: Literal["train", "trainval"]) -> Variant:
    """Return the one way to use such a dataset. trained_on: `trainval` for training and validation together."""
    return Variant(about, (file,), lambda source, _: _splits(_captions_by_split(source, file), trained_on))


def _captions_by_split(source: Source, file: SourceFile) -> dict[str, dict[str, list[str]]]:
    """Return the captions of each image, in the splits train, val and test."""
    found: dict[str, dict[str, list[str]]] = {"train": {}, "val": {}, "test": {}}
    for image in source.records(file.name, "images"):
        name = PurePosixPath(image["filename"]).stem
        found[_TRAINED[image["split"]]][name] = [sentence["raw"] for sentence in image["sentences"]]
    return found


def _splits(captions: dict[str, dict[str, list[str]]], trained_on: str) -> Iterator[Split]:
    train = captions["train"] | (captions["val"] if trained_on == "trainval" else {})
    yield Split(f"{trained_on}_desc.json", "captions", each_by_itself(train), "train")
    yield Split("val_desc.json", "captions", together(captions["val"]), "evaluate" if trained_on == "train" else "other")
    yield Split("test_desc.json", "captions", together(captions["test"]))
    yield references(captions["test"])


def write_karpathy_sample(
    folder: Path, file: SourceFile, names: Sequence[str], clips: Sequence[SampleClip], *, is_coco: bool = False
) -> None:
    """Write such a file for other images. is_coco: with COCO's own fields and its split restval, to which every second training
    image belongs."""
    splits_of = {"train": ("train", "restval") if is_coco else ("train",), "validation": ("val",), "test": ("test",)}
    images = [
        {
            **({"filepath": "val2014", "cocoid": clip.number} if is_coco else {}),
            "filename": f"{name}.jpg", "imgid": clip.number,
            "split": splits_of[clip.split][clip.number % len(splits_of[clip.split])],
            "sentids": list(range(len(clip.captions))),
            "sentences": [
                {"tokens": text.split(), "raw": text, "imgid": clip.number, "sentid": place}
                for place, text in enumerate(clip.captions)
            ],
        }
        for name, clip in zip(names, clips, strict=True)
    ]  # fmt: skip
    (folder / file.name).write_text(json.dumps({"images": images, "dataset": "sample"}), encoding="utf-8")
