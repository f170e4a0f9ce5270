"""YouCook2 (Zhou et al., AAAI 2018): cooking videos whose steps are clips with a sentence each.

Format: `youcookii_annotations_trainval.json`, {database: {<YouTube id>: {annotations: [{id, segment, sentence}], subset,
recipe_type, duration, video_url}}}, as a public reader shows one entry in full. Captions of the test split are not public.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from cosa.datasets.authors.corpus import AuthorOptions, Corpus, Entry, SampleClip, Split, Variant
from cosa.datasets.authors.entries import references
from cosa.datasets.authors.source import Source
from cosa.datasets.authors.source_file import SourceFile

_FILE = SourceFile(
    "youcookii_annotations_trainval.json",
    also=("youcook2_annotations_trainval.json",),
    folders=("annotations",),
    archives=("youcookii_annotations_trainval.tar.gz",),
)


def _captioning(source: Source, options: AuthorOptions) -> Iterator[Split]:
    del options
    database = source.json(_FILE.name)["database"]
    steps = {subset: list(_steps(database, subset)) for subset in ("training", "validation")}
    yield Split("train_desc.json", "captions", _described(steps["training"]), "train")
    yield Split("val_desc.json", "captions", _described(steps["validation"]))
    yield references({step["clip"]: [step["sentence"]] for step in steps["validation"]})
    segments = (
        {key: step[key] for key in ("clip", "video", "start", "end")} for step in (*steps["training"], *steps["validation"])
    )
    yield Split("segments.csv", "table", segments, "other")


def _steps(database: dict[str, Entry], subset: str) -> Iterator[Entry]:
    for video, one in database.items():
        if one["subset"] == subset:
            for step in one["annotations"]:
                start, end = step["segment"]
                yield {
                    "clip": f"{video}_{step['id']}", "video": f"{subset}/{one['recipe_type']}/{video}",
                    "start": start, "end": end, "sentence": step["sentence"],
                }  # fmt: skip


def _described(steps: Sequence[Entry]) -> Iterator[Entry]:
    return ({"video_id": step["clip"], "desc": step["sentence"]} for step in steps)


CORPUS = Corpus(
    title="YouCook2",
    home="https://youcook2.eecs.umich.edu/",
    terms="annotations: CC BY-NC-SA 4.0, as VALUE states; the videos are YouTube's",
    media="video",
    variants={"captioning": Variant("captioning of steps, tested on the validation split", (_FILE,), _captioning)},
)


def write_sample(folder: Path, clips: Sequence[SampleClip]) -> list[str]:
    """Write the authors' file for other clips, one step a video; return the clips' identifiers. Test clips validate."""
    database = {
        f"sample{clip.number:05d}": {
            "duration": 3.0,
            "subset": "training" if clip.split == "train" else "validation",
            "recipe_type": "101",
            "annotations": [{"segment": [0, 3], "id": 0, "sentence": clip.captions[0]}],
            "video_url": "",
        }
        for clip in clips
    }
    (folder / _FILE.name).write_text(json.dumps({"database": database}), encoding="utf-8")
    return [f"{video}_0" for video in database]
