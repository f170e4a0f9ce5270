"""DiDeMo (Hendricks et al., ICCV 2017): clips with several sentences, which retrieval joins to one paragraph.

Format: `data/{train,val,test}_data.json` of LocalizingMoments, lists of {video, description, times, annotation_id, ...}; those
of validation and test were seen. They name 1,094 and 1,037 clips, more than the 1,065 and 1,004 with which papers work: the
lists of collaborative-experts say which these are. Sentences are joined in the order of the file, as CLIP4Clip does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from cosa.data.video_index import VIDEO_SUFFIXES
from cosa.datasets.authors.corpus import AuthorOptions, Corpus, SampleClip, Split, Variant
from cosa.datasets.authors.source import Source
from cosa.datasets.authors.source_file import SourceFile

_SPLITS = ("train", "val", "test")
_FILES = tuple(
    file
    for split in _SPLITS
    for file in (
        SourceFile(f"{split}_data.json", folders=("data", "LocalizingMoments/data")),
        SourceFile(f"{split}_list.txt", optional=True),
    )
)


def _clip(video: str) -> str:
    """Return the identifier of a clip: its name without a suffix, since it may be stored as another kind of video."""
    stem, suffix = os.path.splitext(video)  # noqa: PTH122  It is a name.
    return stem if suffix.lower() in (*VIDEO_SUFFIXES, ".mts", ".") else video


def _paragraphs(source: Source, options: AuthorOptions) -> Iterator[Split]:
    del options
    for split in _SPLITS:
        listed = set(source.lines(f"{split}_list.txt")) if f"{split}_list.txt" in source else None
        sentences: dict[str, list[str]] = {}
        for one in source.records(f"{split}_data.json"):
            if listed is None or one["video"] in listed:
                sentences.setdefault(_clip(one["video"]), []).append(one["description"].strip())
        entries = ({"video_id": clip, "desc": " ".join(texts)} for clip, texts in sentences.items())
        yield Split(f"{split}_desc.json", "captions", entries, "train" if split == "train" else "evaluate")


CORPUS = Corpus(
    title="DiDeMo",
    home="https://github.com/LisaAnne/LocalizingMoments",
    terms="annotations: BSD 2-Clause; the clips are Flickr's, each under a Creative Commons licence",
    media="video",
    variants={"paragraphs": Variant("paragraph-to-video retrieval", _FILES, _paragraphs)},
)


def write_sample(folder: Path, clips: Sequence[SampleClip]) -> list[str]:
    """Write the authors' files for other clips; return the clips' identifiers."""
    names = [f"12345678@N00_{9000 + clip.number}_abcdef{clip.number:04d}" for clip in clips]
    for split, wanted in (("train", "train"), ("val", "validation"), ("test", "test")):
        chosen = [(name, clip) for name, clip in zip(names, clips, strict=True) if clip.split == wanted]
        sentences = [
            {
                "annotation_id": 100 * clip.number + place, "description": text, "video": f"{name}.mov",
                "times": [[place, place], [place, place]], "num_segments": 6, "dl_link": "",
            }
            for name, clip in chosen
            for place, text in enumerate(clip.captions)
        ]  # fmt: skip
        (folder / f"{split}_data.json").write_text(json.dumps(sentences), encoding="utf-8")
        (folder / f"{split}_list.txt").write_text("".join(f"{name}.mov\n" for name, _ in chosen), encoding="utf-8")
    return names
