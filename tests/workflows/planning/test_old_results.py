"""Results from before are found again: fingerprints of all kinds of stages and tasks, as they were in November 2026.

Where a change of the program changes what a stage computes, its kind's `version` is raised, and its fingerprints here with it.
"""

import json
from pathlib import Path

import pytest

from tests.workflows.planning.planned import QUESTIONS, lay_out, plan
from workflows.results.manifest import Manifest

MORE = (
    "stages.pretrain.concatenate=2",
    "stages.pretrain.corpora=[{dataset: own, objectives: [itc, mlm, citc], steps: 3, batch_size: 2}, "
    "{dataset: made, objectives: [cap, itm], steps: 3, batch_size: 2}]",
    "stages.self-critical={kind: finetune, task: captioning, init_from: pretrain, dataset: made, epochs: 1, batch_size: 2, "
    "self_critical: true, validation_split: test}",
    "datasets.questions={media: video, root: own/clips, splits: {train: {questions: own/questions.json}, "
    "val: {questions: own/more.json}, test: {questions: own/questions.json}}}",
    "stages.question-frames={kind: extract, dataset: questions}",
    "stages.answers={kind: finetune, task: question_answering, init_from: pretrain, dataset: questions, epochs: 1, "
    "batch_size: 2}",
    "stages.submitted={kind: evaluate, checkpoint: answers, dataset: questions, tasks: [question_answering], submission: true}",
)
FINGERPRINTS = {
    "corpus": "770249ae0e20e2c2",
    "own-frames": "5818efffa36f98dc",
    "question-frames": "798d840a24c69273",
    "made-frames": "789dbda0a12d45f7",
    "pretrain": "245811e365060276",
    "retrieval": "59cdb8f8bd64e464",
    "captions": "cd279f5bf4540834",
    "self-critical": "576da09a246cdc92",
    "answers": "ba8ecdc9ffd8da1d",
    "test": "ee4390f020acf8bc",
    "submitted": "610151eafb6043e2",
}


def test_fingerprints_are_those_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path, monkeypatch)
    asked = [{**question, "question_id": number} for number, question in enumerate(QUESTIONS)]
    Path("own/questions.json").write_text(json.dumps(asked))
    Path("own/more.json").write_text(json.dumps(QUESTIONS[:2]))
    for step in plan(*MORE).steps:
        old = FINGERPRINTS[step.name]
        folder = Path("storage", "demo", step.name, old)
        folder.mkdir(parents=True)
        Manifest("demo", step.name, step.kind, step.version, old, step.section.model_dump(mode="json"), step.seed).write(folder)
    found = plan(*MORE).steps
    assert {step.name: step.fingerprint for step in found} == FINGERPRINTS
    assert {step.action for step in found} == {"skip"}
    Path("own/clips/new.mp4").write_bytes(b"another clip")
    again = {step.name: step.reason for step in plan(*MORE).steps if step.action == "run"}
    assert again.pop("own-frames").startswith("data changed: own/clips")
    assert set(again) == {"question-frames", "pretrain", *set(FINGERPRINTS) - {"corpus", "made-frames", "own-frames"}}
