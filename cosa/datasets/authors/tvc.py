"""TVC, TV show Captions (Lei et al., ECCV 2020): moments of television episodes with two or four captions each.

Format: `data/tvc_{train,val}_release.jsonl` of TVCaption, a moment in a line: {vid_name, duration, ts: [start, end], clip_id,
descs: [{desc, type, from_retrieval, desc_id}]}, as its evaluation and the data page of VALUE describe it. The public test split
has no captions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cosa.datasets.authors.corpus import AuthorOptions, Corpus, SampleClip, Split, Variant
from cosa.datasets.authors.entries import each_by_itself, references, together
from cosa.datasets.authors.source import Source
from cosa.datasets.authors.source_file import SourceFile

_FILES = {split: SourceFile(f"tvc_{split}_release.jsonl", folders=("data",)) for split in ("train", "val")}


def _name(moment: dict[str, Any]) -> str:
    return f"{moment['vid_name']}_{moment['clip_id']}"


def _captioning(source: Source, options: AuthorOptions) -> Iterator[Split]:
    del options
    moments = {split: list(source.json_lines(file.name)) for split, file in _FILES.items()}
    captions = {
        split: {_name(one): [each["desc"] for each in one["descs"]] for one in found} for split, found in moments.items()
    }
    yield Split("train_desc.json", "captions", each_by_itself(captions["train"]), "train")
    yield Split("val_desc.json", "captions", together(captions["val"]))
    yield references(captions["val"])
    segments = (
        {"clip": _name(one), "video": one["vid_name"], "start": one["ts"][0], "end": one["ts"][1]}
        for found in moments.values()
        for one in found
    )
    yield Split("segments.csv", "table", segments, "other")


CORPUS = Corpus(
    title="TVC",
    home="https://tvr.cs.unc.edu/tvc.html",
    terms="annotations: CC BY-NC-SA 4.0, as VALUE states; frames of the episodes: after an agreement with UNC",
    media="video",
    variants={"captioning": Variant("captioning, tested on the validation split", tuple(_FILES.values()), _captioning)},
)


def write_sample(folder: Path, clips: Sequence[SampleClip]) -> list[str]:
    """Write the authors' files for other clips; return the clips' identifiers. Test clips validate."""
    moments = [
        {
            "vid_name": f"sample_s01e{clip.number:02d}_seg01_clip_00", "duration": 3.0, "ts": [0.0, 3.0],
            "clip_id": clip.number,
            "descs": [
                {"desc": text, "type": "v", "from_retrieval": False, "desc_id": 100 * clip.number + place}
                for place, text in enumerate(clip.captions)
            ],
        }
        for clip in clips
    ]  # fmt: skip
    for split, file in _FILES.items():
        chosen = [one for one, clip in zip(moments, clips, strict=True) if (clip.split == "train") == (split == "train")]
        (folder / file.name).write_text("".join(json.dumps(one) + "\n" for one in chosen), encoding="utf-8")
    return [_name(one) for one in moments]
