"""MSR-VTT (Xu et al., CVPR 2016): 10,000 clips with 20 captions each, and the questions of MSRVTT-QA (Xu et al., 2017).

Formats: README of the 2016 challenge (`info`, `videos`, `sentences`), which also `MSRVTT_data.json` of CLIP4Clip has;
`MSR_VTT.json` in the archive of Frozen in Time, in COCO's form, as its loader reads it; the 1k-A test captions of JSFusion as
CLIP4Clip publishes them (columns key, vid_key, video_id, sentence); MSRVTT-QA: `xu_questions.py`. The clip lists of
collaborative-experts, which were seen, confirm that 1k-A trains on exactly the 9,000 other clips, that the 7k training set is
the 7,010 of the official training and validation splits, and where they end.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cosa.datasets.authors.corpus import AuthorOptions, Corpus, SampleClip, Split, Variant
from cosa.datasets.authors.entries import each_by_itself, only, references, together
from cosa.datasets.authors.source import Source
from cosa.datasets.authors.source_file import SourceFile
from cosa.datasets.authors.xu_questions import question_files, question_splits, write_question_sample

_FOLDERS = ("annotation", "annotations", "msrvtt_data", "train_val_annotation", "test_videodatainfo")
_ALL, _FROZEN = "MSRVTT_data.json", "MSR_VTT.json"
_TRAIN = SourceFile(
    "train_val_videodatainfo.json", folders=_FOLDERS, archives=("train_val_annotation.zip",), unless=(_ALL, _FROZEN)
)
_TEST = SourceFile(
    "test_videodatainfo.json", folders=_FOLDERS, archives=("test_videodatainfo.json.zip",), unless=(_ALL, _FROZEN)
)
_TOGETHER = (
    SourceFile(_ALL, folders=_FOLDERS, archives=("msrvtt_data.zip",), optional=True),
    SourceFile(_FROZEN, folders=(*_FOLDERS, "MSRVTT/annotation"), archives=("MSRVTT.zip",), optional=True),
)
_TEST_1K = SourceFile("MSRVTT_JSFUSION_test.csv", folders=_FOLDERS, archives=("msrvtt_data.zip",))
_QUESTIONS = question_files("MSRVTT-QA")
_OFFICIAL = {"train": "train", "validate": "val", "test": "test"}
_FIRST_VALIDATED, _FIRST_TESTED = 6513, 7010  # The numbers of clips follow the official splits.


def _files(source: Source) -> tuple[str, ...]:
    """Return the files that together hold all clips."""
    both = (_TRAIN.name, _TEST.name)
    return both if all(name in source for name in both) else (_ALL,) if _ALL in source else (_FROZEN,)


def _split_of_clips(source: Source) -> dict[str, str]:
    """Return the official split of each clip: train, val or test."""
    files = _files(source)
    if files == (_FROZEN,):
        clips = [image["id"] for image in source.records(_FROZEN, "images")]
        numbers = {clip: int(clip.removeprefix("video")) for clip in clips}
        return {
            clip: "train" if number < _FIRST_VALIDATED else "val" if number < _FIRST_TESTED else "test"
            for clip, number in numbers.items()
        }
    return {video["video_id"]: _OFFICIAL[video["split"]] for name in files for video in source.records(name, "videos")}


def _captions(source: Source) -> dict[str, list[str]]:
    """Return the captions of each clip, in the order of the files."""
    found: dict[str, list[str]] = {}
    for name in _files(source):
        key, clip = ("annotations", "image_id") if name == _FROZEN else ("sentences", "video_id")
        for sentence in source.records(name, key):
            found.setdefault(sentence[clip], []).append(sentence["caption"])
    return found


def _retrieval(source: Source, *, official_training: bool = False) -> Iterator[Split]:
    """1k-A has one caption for each of 1,000 clips. official_training: train on the official splits, not on all others."""
    captions, splits = _captions(source), _split_of_clips(source)
    test = [{"video_id": row["video_id"], "desc": row["sentence"]} for row in source.table(_TEST_1K.name)]
    tested = {entry["video_id"] for entry in test}
    if unknown := tested - captions.keys():
        raise ValueError(f"{len(unknown)} clips are not among those with captions, such as {min(unknown)}")
    trained = (clip for clip in captions if clip not in tested and not (official_training and splits[clip] == "test"))
    yield Split("train_descs_ret.json", "captions", each_by_itself(only(captions, trained)), "train")
    yield Split("test_descs_ret.json", "captions", test)


def _captioning(source: Source, options: AuthorOptions) -> Iterator[Split]:
    """The official splits; every caption of a clip is a reference."""
    del options
    captions, splits = _captions(source), _split_of_clips(source)
    train, val, test = (only(captions, (clip for clip in captions if splits[clip] == split)) for split in _OFFICIAL.values())
    yield Split("train_descs_cap.json", "captions", each_by_itself(train), "train")
    yield Split("val_descs_cap.json", "captions", together(val))
    yield Split("test_descs_cap.json", "captions", together(test))
    yield references(test)


CORPUS = Corpus(
    title="MSR-VTT",
    home="https://www.microsoft.com/en-us/research/publication/msr-vtt-a-large-video-description-dataset-for-bridging-video-and-language/",
    terms="research use; the clips are YouTube's",
    media="video",
    variants={
        "retrieval": Variant(
            "text-to-video retrieval, 1k-A: trained on the other 9,000 clips",
            (_TRAIN, _TEST, *_TOGETHER, _TEST_1K),
            lambda source, _: _retrieval(source),
        ),
        "retrieval-7k": Variant(
            "text-to-video retrieval, 1k-A: trained on the official 7,010 clips",
            (_TRAIN, _TEST, *_TOGETHER, _TEST_1K),
            lambda source, _: _retrieval(source, official_training=True),
        ),
        "captioning": Variant("captioning, official splits", (_TRAIN, _TEST, *_TOGETHER), _captioning),
        "qa": Variant(
            "MSRVTT-QA", _QUESTIONS, lambda source, _: question_splits(source, lambda number: f"video{number}", "descs_qa.json")
        ),
    },
)


def write_sample(folder: Path, clips: Sequence[SampleClip]) -> list[str]:
    """Write the authors' files for other clips; return the clips' identifiers. Test clips are also those of 1k-A."""
    names = [f"video{clip.number}" for clip in clips]
    official = {"train": "train", "validation": "validate", "test": "test"}
    for file, wanted in ((_TRAIN.name, ("train", "validation")), (_TEST.name, ("test",))):
        chosen = [(name, clip) for name, clip in zip(names, clips, strict=True) if clip.split in wanted]
        videos = [
            {
                "category": 0, "url": "", "video_id": name, "start time": 0.0, "end time": 3.0, "split": official[clip.split],
                "id": clip.number,
            }
            for name, clip in chosen
        ]  # fmt: skip
        sentences = [
            {"caption": caption, "video_id": name, "sen_id": 20 * clip.number + number}
            for name, clip in chosen
            for number, caption in enumerate(clip.captions)
        ]
        content: dict[str, Any] = {"info": {"version": "1.0"}, "videos": videos, "sentences": sentences}
        (folder / file).write_text(json.dumps(content), encoding="utf-8")
    tested = [(name, clip) for name, clip in zip(names, clips, strict=True) if clip.split == "test"]
    with (folder / _TEST_1K.name).open("w", encoding="utf-8", newline="") as file_1k:
        rows = csv.writer(file_1k)
        rows.writerow(["key", "vid_key", "video_id", "sentence"])
        rows.writerows([f"ret{i}", f"msr{clip.number}", name, clip.captions[0]] for i, (name, clip) in enumerate(tested))
    write_question_sample(folder, {clip.number: clip for clip in clips})
    return names
