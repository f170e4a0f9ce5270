"""VQA v2 (Goyal et al., CVPR 2017): questions about COCO's images, with ten people's answers.

Format: visualqa.org: `v2_OpenEnded_mscoco_*_questions.json`, {questions: [{image_id, question, question_id}]}, and
`v2_mscoco_*_annotations.json`, {annotations: [{question_id, image_id, question_type, answer_type, multiple_choice_answer,
answers: [{answer, answer_confidence, answer_id}]}]}; the files themselves were not seen.

Training takes questions with an answer among the 3,129 candidates, a rule from bottom-up-attention-vqa (Anderson et al., CVPR
2018): those that are the most common answer, normalised as the official evaluation does, to at least nine questions of training
and validation together. Of the people's answers those count that are candidates as they stand; the most common comes first. The
published recipe's own file was not seen: its corpus is called "selftrainval", so that it may hold validation questions, too,
which the variant `qa-trainval` trains on.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from cosa.datasets.authors.corpus import AuthorOptions, Corpus, Entry, SampleClip, Split, Variant
from cosa.datasets.authors.source import Source
from cosa.datasets.authors.source_file import SourceFile

FEWEST_QUESTIONS = 9
_IMAGES = {"train": "train2014", "val": "val2014", "test": "test2015", "test-dev": "test-dev2015"}
_PARTS = {"train": "Train", "val": "Val", "test": "Test", "test-dev": "Test"}
_QUESTIONS = {
    split: SourceFile(f"v2_OpenEnded_mscoco_{images}_questions.json", archives=(f"v2_Questions_{_PARTS[split]}_mscoco.zip",))
    for split, images in _IMAGES.items()
}
_ANSWERS = {
    split: SourceFile(f"v2_mscoco_{_IMAGES[split]}_annotations.json", archives=(f"v2_Annotations_{_PARTS[split]}_mscoco.zip",))
    for split in ("train", "val")
}


def candidates(source: Source) -> dict[str, int]:
    """Return the candidate answers, each with the number of questions that it is the most common answer of, most first."""
    from cosa.evaluation.answer_metrics import normalise_vqa_answer

    # 658,000 questions share 30,000 answers.
    normalise = cache(lambda answer: normalise_vqa_answer(answer).replace(",", ""))
    counts = Counter(
        normalise(one["multiple_choice_answer"])
        for file in _ANSWERS.values()
        for one in source.records(file.name, "annotations")
    )
    return {answer: count for answer, count in counts.most_common() if count >= FEWEST_QUESTIONS}


def _splits(source: Source, options: AuthorOptions, *, trained_on: Sequence[str]) -> Iterator[Split]:
    del options
    accepted = candidates(source)
    yield Split("answers.csv", "table", ({"answer": answer, "questions": count} for answer, count in accepted.items()), "other")
    trained = (entry for split in trained_on for entry in _with_candidates(_asked(source, split), accepted))
    yield Split("train_desc_qa_3129.json", "questions", trained, "train")
    yield Split("val_desc_qa.json", "questions", _asked(source, "val"))
    yield Split("test_desc_qa.json", "questions", _unanswered(source, "test"))
    yield Split("testdev_desc_qa.json", "questions", _unanswered(source, "test-dev"))


def _asked(source: Source, split: str) -> Iterator[Entry]:
    """Yield the questions of a split with the ten answers to each."""
    questions = {one["question_id"]: one["question"] for one in source.records(_QUESTIONS[split].name, "questions")}
    for one in source.records(_ANSWERS[split].name, "annotations"):
        yield {
            "video_id": _image(split, one["image_id"]),
            "question": questions[one["question_id"]],
            "answer": [given["answer"] for given in one["answers"]],
            "question_id": one["question_id"],
            "question_type": one["answer_type"],
        }


def _with_candidates(questions: Iterator[Entry], accepted: Collection[str]) -> Iterator[Entry]:
    """Yield the questions that have a candidate among their answers, with the candidates alone, most common first."""
    for entry in questions:
        counts = Counter(answer for answer in entry["answer"] if answer in accepted)
        if counts:
            yield {**entry, "answer": [answer for answer, _ in counts.most_common()]}


def _unanswered(source: Source, split: str) -> Iterator[Entry]:
    for one in source.records(_QUESTIONS[split].name, "questions"):
        yield {"video_id": _image(split, one["image_id"]), "question": one["question"], "question_id": one["question_id"]}


def _image(split: str, number: int) -> str:
    folder = _IMAGES[split].replace("test-dev", "test")
    return f"COCO_{folder}_{number:012d}"


CORPUS = Corpus(
    title="VQA v2",
    home="https://visualqa.org/",
    terms="annotations: CC BY 4.0; the images are COCO's",
    media="image",
    variants={
        "qa": Variant(
            "question answering, trained on the training split",
            (*_QUESTIONS.values(), *_ANSWERS.values()),
            partial(_splits, trained_on=("train",)),
        ),
        "qa-trainval": Variant(
            "question answering for the test server, trained on training and validation together",
            (*_QUESTIONS.values(), *_ANSWERS.values()),
            partial(_splits, trained_on=("train", "val")),
        ),
    },
)


def write_sample(folder: Path, clips: Sequence[SampleClip]) -> list[str]:
    """Write the authors' files for other images; return the images' identifiers.

    Every question is asked so often that its answer is a candidate. The test images have no answers.
    """
    splits = {"train": "train", "validation": "val", "test": "test"}
    names = [_image(splits[clip.split], clip.number) for clip in clips]
    for split in _IMAGES:
        chosen = [clip for clip in clips if splits[clip.split] == split or (split == "test-dev" and clip.split == "test")]
        asked: list[tuple[int, int, str, str]] = [
            (clip.number, 1000 * clip.number + FEWEST_QUESTIONS * place + repeat, question, answer)
            for clip in chosen
            for place, (question, answer) in enumerate(clip.questions)
            for repeat in range(FEWEST_QUESTIONS)
        ]
        questions: list[dict[str, Any]] = [
            {"image_id": image, "question": question, "question_id": number} for image, number, question, _ in asked
        ]
        (folder / _QUESTIONS[split].name).write_text(json.dumps({"info": {}, "questions": questions}), encoding="utf-8")
        if split in _ANSWERS:
            annotations = [
                {
                    "question_type": "what", "multiple_choice_answer": answer, "image_id": image, "answer_type": "other",
                    "question_id": number,
                    "answers": [{"answer": answer, "answer_confidence": "yes", "answer_id": place} for place in range(1, 11)],
                }
                for image, number, _, answer in asked
            ]  # fmt: skip
            (folder / _ANSWERS[split].name).write_text(json.dumps({"info": {}, "annotations": annotations}), encoding="utf-8")
    return names
