"""Defines a mistake with the messages that report it, and the spec and the data in which every case changes one thing."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

# A spec and its data without a mistake. Every case changes one thing.
SPEC = """\
name: bad
datasets:
  pictures:
    media: image
    root: images
    splits: {train: train.json, val: val.json}
stages:
  retrieval: {kind: finetune, task: retrieval, dataset: pictures, epochs: 1, batch_size: 2}
  test: {kind: evaluate, checkpoint: retrieval, dataset: pictures, split: val, tasks: [retrieval]}
"""
# The same for clips, whose frames have to be extracted, and for questions.
CLIPS = """\
name: bad
datasets:
  clips: {media: video, root: clips, splits: {train: train.json}}
stages:
  pretrain: {kind: pretrain, corpora: [{dataset: clips, objectives: [cap], steps: 1, batch_size: 2}]}
"""
QUESTIONS = """\
name: bad
datasets:
  pictures: {media: image, root: images, splits: {train: questions.json, val: questions.json}}
stages:
  answers: {kind: finetune, task: question_answering, dataset: pictures, epochs: 1, batch_size: 2}
  test: {kind: evaluate, checkpoint: answers, dataset: pictures, split: val, tasks: [question_answering]}
"""
CAPTIONS = json.dumps([{"video_id": f"v{i}", "desc": f"caption {i}"} for i in range(4)])
ANSWERS = json.dumps([{"video_id": f"v{i}", "question": "what", "answer": f"thing {i}"} for i in range(4)])
FILES = {
    "spec.yaml": SPEC,
    **{f"images/v{i}.jpg": "" for i in range(4)},
    **{f"clips/v{i}.mp4": "" for i in range(4)},
    "train.json": CAPTIONS,
    "val.json": CAPTIONS,
    "questions.json": ANSWERS,
}


@dataclass(frozen=True)
class Case:
    """One mistake.

    says: texts that the output holds, the essential one first. spec: replaces spec.yaml. overrides: each after --set.
    files: replace or add to the good files, None removes one. arguments: the command, if it is not `plan spec.yaml`.
    """

    id: str
    says: tuple[str, ...]
    spec: str | None = None
    overrides: tuple[str, ...] = ()
    files: dict[str, str | None] = field(default_factory=dict)
    arguments: tuple[str, ...] = ("plan", "spec.yaml")
    code: int = 2

    @property
    def command(self) -> list[str]:
        """All arguments of the command."""
        return [*self.arguments, *(part for override in self.overrides for part in ("--set", override))]

    def write(self, folder: Path) -> None:
        """Write the files into a folder."""
        files = {**FILES, **self.files} if self.spec is None else {**FILES, "spec.yaml": self.spec, **self.files}
        for name, content in files.items():
            if content is not None:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(content, encoding="utf-8", errors="surrogateescape")


def said(*lines: str) -> tuple[str, ...]:
    """One expected text of several lines."""
    return ("\n".join(lines),)


def pretrain(objectives: str, batch_size: int, concatenate: int = 2) -> tuple[str, ...]:
    """Overrides that add a pretraining stage."""
    corpus = f"{{dataset: pictures, objectives: [{objectives}], steps: 1, batch_size: {batch_size}}}"
    return (f"stages.pre={{kind: pretrain, concatenate: {concatenate}, corpora: [{corpus}]}}",)


def sweep(**fields: str) -> tuple[str, ...]:
    """An override that adds a sweep."""
    return (f"stages.retrieval.sweep={{learning_rate: [1e-4], {', '.join(f'{k}: {v}' for k, v in fields.items())}}}",)
