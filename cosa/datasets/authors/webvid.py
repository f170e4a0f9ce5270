"""WebVid-2.5M (Bain et al., ICCV 2021): videos of a stock footage site with their descriptions.

Format: `results_2M_{train,val}.csv` with the columns videoid, contentUrl, duration, page_dir and name, as video2dataset's
example and other public readers name them. The authors' `download.py` stores a video as `<page_dir>/<videoid>.mp4`. Since
February 2024 they may not distribute the tables any more (their README).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from cosa.datasets.authors.corpus import AuthorOptions, Corpus, Entry, SampleClip, Split, Variant
from cosa.datasets.authors.source import Source
from cosa.datasets.authors.source_file import SourceFile

_FILES = {split: SourceFile(f"results_2M_{split}.csv", optional=split == "val") for split in ("train", "val")}
_COLUMNS = ("videoid", "contentUrl", "duration", "page_dir", "name")


class WebVidOptions(AuthorOptions):
    """Options of WebVid."""

    layout: Literal["pages", "flat"] = Field(
        "pages", description="pages: videos are <page_dir>/<videoid>.mp4; flat: <videoid>.mp4"
    )


def _pretraining(source: Source, options: WebVidOptions) -> Iterator[Split]:
    for split, file in _FILES.items():
        if file.name in source:
            use: Literal["train", "evaluate"] = "train" if split == "train" else "evaluate"
            yield Split(f"{split}_desc.json", "captions", _described(source, file.name, options), use)


def _described(source: Source, name: str, options: WebVidOptions) -> Iterator[Entry]:
    for row in source.table(name):
        video = row["videoid"] if options.layout == "flat" else f"{row['page_dir']}/{row['videoid']}"
        yield {"video_id": video, "desc": row["name"]}


CORPUS = Corpus(
    title="WebVid-2.5M",
    home="https://github.com/m-bain/webvid",
    terms="non-commercial research, by its terms; the videos are Shutterstock's",
    media="video",
    variants={"pretraining": Variant("pretraining", tuple(_FILES.values()), _pretraining)},
    own_options=WebVidOptions,
    exact_paths=True,
)


def write_sample(folder: Path, clips: Sequence[SampleClip]) -> list[str]:
    """Write the authors' tables for other clips; return the clips' identifiers. Test clips are among those of validation."""
    pages = [f"{clip.number:06d}_{clip.number:06d}" for clip in clips]
    for split, file in _FILES.items():
        with (folder / file.name).open("w", encoding="utf-8", newline="") as opened:
            rows = csv.writer(opened)
            rows.writerow(_COLUMNS)
            for page, clip in zip(pages, clips, strict=True):
                if (clip.split == "train") == (split == "train"):
                    rows.writerow(
                        [clip.number, f"https://example.org/{clip.number}.mp4", "PT00H00M03S", page, clip.captions[0]]
                    )
    return [f"{page}/{clip.number}" for page, clip in zip(pages, clips, strict=True)]
