"""ActivityNet Captions (Krishna et al., ICCV 2017), whose sentences retrieval joins to paragraphs, and ActivityNet-QA (Yu et
al., AAAI 2019).

Formats: `captions.zip` with train.json, val_1.json and val_2.json, {"v_<YouTube id>": {duration, timestamps, sentences}}, as
CLIP4Clip reads them; papers test on val_1. ActivityNet-QA: `*_q.json` with {video_name, question, question_id} and `*_a.json`
with {answer, type, question_id}; these were seen, and their README, which names the types.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from cosa.datasets.authors.corpus import AuthorOptions, Corpus, Entry, SampleClip, Split, Variant
from cosa.datasets.authors.source import Source
from cosa.datasets.authors.source_file import SourceFile

_CAPTIONS = tuple(SourceFile(f"{name}.json", folders=("captions",), archives=("captions.zip",)) for name in ("train", "val_1"))
_SPLITS = ("train", "val", "test")
_QUESTIONS = tuple(
    SourceFile(f"{split}_{part}.json", folders=("dataset", "activitynet-qa/dataset"))
    for split in _SPLITS
    for part in ("q", "a")
)
_TYPES = ("motion", "spatial", "temporal", "yes/no", "color", "object", "location", "number", "other")
_PREFIX = "v_"  # of clips in ActivityNet's own naming; some collections store them without


def _paragraphs(source: Source, options: AuthorOptions) -> Iterator[Split]:
    del options
    for split, name in (("train", "train.json"), ("test", "val_1.json")):
        entries = (
            {"video_id": clip, "desc": " ".join(sentence.strip() for sentence in one["sentences"])}
            for clip, one in source.json(name).items()
        )
        yield Split(f"{split}_desc.json", "captions", entries, "train" if split == "train" else "evaluate")


def _questions(source: Source, options: AuthorOptions) -> Iterator[Split]:
    del options
    for split in _SPLITS:
        yield Split(f"{split}_desc_qa.json", "questions", _asked(source, split), "train" if split == "train" else "evaluate")


def _asked(source: Source, split: str) -> Iterator[Entry]:
    answers = {one["question_id"]: one for one in source.records(f"{split}_a.json")}
    for one in source.records(f"{split}_q.json"):
        answer = answers[one["question_id"]]
        yield {
            "video_id": f"{_PREFIX}{one['video_name']}",
            "question": one["question"],
            "answer": answer["answer"],
            "question_id": one["question_id"],
            "question_type": _TYPES[answer["type"]],
        }


CORPUS = Corpus(
    title="ActivityNet",
    home="https://cs.stanford.edu/people/ranjaykrishna/densevid/",
    terms="no licence is stated for captions; questions: non-commercial use; the videos are YouTube's",
    media="video",
    variants={
        "paragraphs": Variant("paragraph-to-video retrieval, tested on val_1", _CAPTIONS, _paragraphs),
        "qa": Variant("ActivityNet-QA", _QUESTIONS, _questions),
    },
    prefix=_PREFIX,
)


def write_sample(folder: Path, clips: Sequence[SampleClip]) -> list[str]:
    """Write the authors' files for other clips; return the clips' identifiers. Test clips are those of val_1."""
    names = [f"{_PREFIX}sample{clip.number:05d}" for clip in clips]
    by_split = {
        split: [(n, c) for n, c in zip(names, clips, strict=True) if c.split == split]
        for split in ("train", "validation", "test")
    }
    for file, split in (("train.json", "train"), ("val_1.json", "test")):
        content = {
            name: {"duration": 3.0, "timestamps": [[0.0, 3.0]] * len(clip.captions), "sentences": list(clip.captions)}
            for name, clip in by_split[split]
        }
        (folder / file).write_text(json.dumps(content), encoding="utf-8")
    for prefix, split in (("train", "train"), ("val", "validation"), ("test", "test")):
        asked = [(name, place, *pair) for name, clip in by_split[split] for place, pair in enumerate(clip.questions, start=1)]
        questions = [
            {"video_name": name.removeprefix(_PREFIX), "question": question, "question_id": f"{name}_{place}"}
            for name, place, question, _ in asked
        ]
        answers = [{"answer": answer, "type": 8, "question_id": f"{name}_{place}"} for name, place, _, answer in asked]
        (folder / f"{prefix}_q.json").write_text(json.dumps(questions), encoding="utf-8")
        (folder / f"{prefix}_a.json").write_text(json.dumps(answers), encoding="utf-8")
    return names
