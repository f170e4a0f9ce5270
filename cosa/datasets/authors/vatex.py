"""VATEX (Wang et al., ICCV 2019): clips of ten seconds with ten English captions each.

Format: the download page of VATEX, as public readers quote it: lists of {videoID: <YouTube id>_<start>_<end>, enCap: [...],
chCap: [...]}. Retrieval is tested on half of the validation split, which HGR (Chen et al., CVPR 2020) chose and published as
`public_split/tst_names.npy`, by the README of its repository; that file was not seen, and a text file with a name in a line is
read as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from cosa.datasets.authors.corpus import AuthorOptions, Corpus, SampleClip, Split, Variant
from cosa.datasets.authors.entries import each_by_itself, only, references, together
from cosa.datasets.authors.source import Source
from cosa.datasets.authors.source_file import SourceFile

_TRAIN = SourceFile("vatex_training_v1.0.json")
_VALIDATION = SourceFile("vatex_validation_v1.0.json")
_TEST = SourceFile("vatex_public_test_english_v1.1.json")
_TEST_NAMES = SourceFile("tst_names.npy", also=("test_list.txt",), folders=("public_split",))


def _captions(source: Source, *files: SourceFile) -> dict[str, list[str]]:
    return {one["videoID"]: one["enCap"] for file in files for one in source.records(file.name)}


def _captioning(source: Source, options: AuthorOptions) -> Iterator[Split]:
    """Train on the training and validation splits together, as the published recipe does, and test on the public test split."""
    del options
    yield Split("trainval_desc.json", "captions", each_by_itself(_captions(source, _TRAIN, _VALIDATION)), "train")
    test = _captions(source, _TEST)
    yield Split("test_desc.json", "captions", together(test))
    yield references(test)


def _retrieval(source: Source, options: AuthorOptions) -> Iterator[Split]:
    """HGR's split: the clips of the validation split that are not tested validate."""
    del options
    yield Split("train_desc.json", "captions", each_by_itself(_captions(source, _TRAIN)), "train")
    held_out = _captions(source, _VALIDATION)
    name = _TEST_NAMES.name
    tested = source.array(name) if source.found_as(name).endswith(".npy") else list(source.lines(name))
    if unknown := set(tested) - held_out.keys():
        raise ValueError(f"{source.found_as(name)} names {len(unknown)} clips that {_VALIDATION.name} lacks")
    chosen = set(tested)
    yield Split("val_desc_ret.json", "captions", together(only(held_out, (clip for clip in held_out if clip not in chosen))))
    yield Split("test_desc_ret.json", "captions", together(only(held_out, iter(tested))))


CORPUS = Corpus(
    title="VATEX",
    home="https://eric-xw.github.io/vatex-website/",
    terms="annotations: CC BY 4.0; the clips are YouTube's",
    media="video",
    variants={
        "captioning": Variant("captioning, tested on the public test split", (_TRAIN, _VALIDATION, _TEST), _captioning),
        "retrieval": Variant("text-to-video retrieval, HGR's split", (_TRAIN, _VALIDATION, _TEST_NAMES), _retrieval),
    },
)


def write_sample(folder: Path, clips: Sequence[SampleClip]) -> list[str]:
    """Write the authors' files for other clips; return the clips' identifiers.

    Test clips are in the validation split, too, where retrieval takes its test clips from.
    """
    names = [f"sample{clip.number:05d}_000000_000010" for clip in clips]
    for file, splits in ((_TRAIN, ("train",)), (_VALIDATION, ("validation", "test")), (_TEST, ("test",))):
        content = [
            {"videoID": name, "enCap": list(clip.captions)}
            for name, clip in zip(names, clips, strict=True)
            if clip.split in splits
        ]
        (folder / file.name).write_text(json.dumps(content), encoding="utf-8")
    tested = [name for name, clip in zip(names, clips, strict=True) if clip.split == "test"]
    (folder / "test_list.txt").write_text("".join(f"{name}\n" for name in tested), encoding="utf-8")
    return names
