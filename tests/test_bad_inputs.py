"""What a person reads when something is wrong, through the real command line.

Every case is a mistake, the command, its exit code (2: the spec or the arguments, 1: everything else) and the lines that
say what is wrong, where, and what to do next. No mistake ends in a traceback or writes anything. Mistakes that only show
once Ray runs (an unreadable clip, a batch that the workers cannot share, the dashboard's port) are tested with the stages.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import cli

ROOT = Path(__file__).parents[1]

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
    "images/v0.jpg": "",
    "clips/v0.mp4": "",
    "train.json": CAPTIONS,
    "val.json": CAPTIONS,
    "questions.json": ANSWERS,
}
OLD_RESULT = "storage/bad/retrieval/0123456789abcdef"


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


FIELDS = [
    Case(
        "unknown field at the top",
        said(
            "error: spec.yaml:10:1: modle: unknown field; did you mean 'model'?",
            "  10 | modle: {}",
            "     | ^",
        ),
        spec=SPEC + "modle: {}\n",
    ),
    Case(
        "unknown nested field",
        said(
            "error: spec.yaml:10:18: model.vision.resolutoin: unknown field; did you mean 'resolution'?",
            "  10 | model: {vision: {resolutoin: 64}}",
            "     |                  ^",
        ),
        spec=SPEC + "model: {vision: {resolutoin: 64}}\n",
    ),
    Case(
        "unknown field of a stage",
        ("error: spec.yaml:8:93: stages.retrieval.epoch: unknown field; did you mean 'epochs'?",),
        spec=SPEC.replace("batch_size: 2}", "batch_size: 2, epoch: 3}"),
    ),
    Case(
        "wrong type",
        (
            "error: spec.yaml:8:75: stages.retrieval.epochs: input should be a valid number, unable to parse string as a "
            "number, got 'many'",
        ),
        spec=SPEC.replace("epochs: 1", "epochs: many"),
    ),
    Case(
        "mapping where a number belongs",
        ("error: spec.yaml:8:75: stages.retrieval.epochs: input should be a valid number, got a mapping",),
        spec=SPEC.replace("epochs: 1", "epochs: {a: 1}"),
    ),
    Case(
        "none of several types",
        ("error: --set cluster.workers=none: cluster.workers: input should be a valid integer or 'auto', got 'none'",),
        overrides=("cluster.workers=none",),
    ),
    Case(
        "required field missing",
        (
            "error: spec.yaml:8:3: stages.retrieval.epochs: this field is missing (passes over the training split; fractions "
            "are allowed)",
        ),
        spec=SPEC.replace(" epochs: 1,", ""),
    ),
    Case(
        "not one of the choices",
        ("error: spec.yaml:8:37: stages.retrieval.task: 'retreival' is not possible; did you mean 'retrieval'?",),
        spec=SPEC.replace("task: retrieval", "task: retreival"),
    ),
    Case(
        "name that cannot be a folder",
        (
            "error: spec.yaml:1:7: name: '../bad' is not possible; use letters, digits, '.', '-' and '_', a letter or digit "
            "first, at most 64",
        ),
        spec=SPEC.replace("name: bad", "name: ../bad"),
    ),
    Case(
        "dot in a split's name",
        (
            "error: spec.yaml:6:33: datasets.pictures.splits: name 'val.1': use letters, digits, '-' and '_', a letter or "
            "digit first, at most 64 (--set could not name a dot)",
        ),
        spec=SPEC.replace(" val:", " val.1:"),
    ),
    Case(
        "several mistakes at once, in the order of the lines",
        said(
            "error: spec.yaml:1:7: name: input should be a valid string, got 3",
            "  1 | name: 3",
            "    |       ^",
            "spec.yaml:8:75: stages.retrieval.epochs: input should be greater than 0, got 0",
            "  8 |   retrieval: {kind: finetune, task: retrieval, dataset: pictures, epochs: 0, batch_size: 2}",
            "    |                                                                           ^",
            "spec.yaml:9:58: stages.test.dataset: no dataset 'picture'; did you mean 'pictures'?",
        ),
        spec=SPEC.replace("bad", "3")
        .replace("epochs: 1", "epochs: 0")
        .replace("dataset: pictures, split", "dataset: picture, split"),
    ),
]

SPEC_FILES = [
    Case("no spec file", ("error: no spec file specs.yaml (looked in {tmp})",), arguments=("plan", "specs.yaml")),
    Case("spec is a folder", ("error: images is a folder; expected a YAML file",), arguments=("plan", "images")),
    Case("spec is empty", ("error: spec.yaml:1:1: the file is empty; expected a spec",), spec=""),
    Case(
        "spec is a list",
        ("error: spec.yaml:1:1: expected a mapping of fields at the top (name:, stages:, ...)",),
        spec="[1]",
    ),
    Case(
        "no stages",
        ("error: spec.yaml:1:1: stages: expected at least one stage, as NAME: {kind: ..., ...}",),
        spec="name: bad\n",
    ),
    Case(
        "extends a missing file",
        ("error: spec.yaml:1:10: extends: no file base/none.yaml (paths are relative to this file)",),
        spec="extends: base/none.yaml\n" + SPEC,
    ),
    Case(
        "extends leads back",
        said(
            "error: a.yaml:1:10: extends: spec.yaml leads back to this file",
            "  1 | extends: spec.yaml",
            "    |          ^",
        ),
        spec="extends: a.yaml\n" + SPEC,
        files={"a.yaml": "extends: spec.yaml\n"},
    ),
    Case(
        "bracket not closed",
        said(
            "error: spec.yaml:10:17: invalid YAML: while parsing a flow sequence: expected ',' or ']', but got '<stream end>'",
            "  10 | model: {vision: [1, 2",
            "     |                 ^",
        ),
        spec=SPEC + "model: {vision: [1, 2\n",
    ),
    Case(
        "tab in YAML",
        ("error: spec.yaml:3:1: invalid YAML: while scanning for the next token: found character '\\t' that cannot start any",),
        spec="name: bad\nstages:\n\ttest: {}\n",
    ),
    Case(
        "key twice",
        ("error: spec.yaml:10:1: 'name' appears twice (first on line 1); keep one",),
        spec=SPEC + "name: other\n",
    ),
    Case(
        "YAML that contains itself",
        ("error: spec.yaml: a value contains itself, or is nested too deeply",),
        spec="name: &a [*a]\n",
    ),
]

VALUES = [
    Case(
        "unquoted ${...} in braces",
        (
            "error: spec.yaml:2:30: invalid YAML: while parsing a flow mapping: expected ',' or '}', but got '{'; inside "
            '{...} and [...] a value with ${...} needs quotes: "${paths.data}/clips"',
        ),
        spec="paths: {data: d}\ndatasets: {pictures: {root: ${paths.data}/x}}\n",
    ),
    Case(
        "environment variable not set",
        (
            "error: spec.yaml:5:11: environment variable COSA_TEST_UNSET is not set; set it, or write "
            "${env:COSA_TEST_UNSET:-default}",
        ),
        spec=SPEC.replace("root: images", "root: ${env:COSA_TEST_UNSET}/images"),
    ),
    Case(
        "value that refers to itself",
        ("error: spec.yaml:10:12: ${paths.b} refers to itself: paths.b -> paths.a -> paths.b",),
        spec=SPEC + 'paths: {a: "${paths.b}", b: "x/${paths.a}"}\n',
    ),
    Case(
        "reference to no field",
        ("error: spec.yaml:5:11: ${paths.dta}: the spec has no field 'paths.dta'; did you mean 'paths.data'?",),
        spec=SPEC.replace("root: images", "root: ${paths.dta}") + "paths: {data: images}\n",
    ),
    Case(
        "mapping inside a text",
        ("error: spec.yaml:5:11: ${paths} is a mapping; only a single value can be part of a text",),
        spec=SPEC.replace("root: images", "root: ${paths}/x") + "paths: {data: images}\n",
    ),
    Case(
        "--set without a value",
        ("error: --set stages.retrieval.epochs: expected NAME=VALUE, such as stages.retrieval.epochs=2",),
        overrides=("stages.retrieval.epochs",),
    ),
    Case(
        "--set below a number",
        ("error: --set stages.retrieval.epochs.x=1: stages.retrieval.epochs is a single value; it has no field 'x'",),
        overrides=("stages.retrieval.epochs.x=1",),
    ),
    Case(
        "--set beyond a list",
        ("error: --set stages.test.tasks.3=captioning: stages.test.tasks is a list of 1; '3' is no index in it",),
        overrides=("stages.test.tasks.3=captioning",),
    ),
    Case(
        "--set of a misspelt stage",
        ("error: --set stages.retrievel.epochs=2: no stage 'retrievel'; did you mean 'retrieval'?",),
        overrides=("stages.retrievel.epochs=2",),
    ),
    Case(
        "--set of a misspelt dataset",
        ("error: --set datasets.picture.root=elsewhere: no dataset 'picture'; did you mean 'pictures'?",),
        overrides=("datasets.picture.root=elsewhere",),
    ),
    Case(
        "--set of a misspelt path",
        ("error: --set paths.dta=elsewhere: no path 'dta'; did you mean 'data'?",),
        spec=SPEC.replace("root: images", "root: ${paths.data}") + "paths: {data: images}\n",
        overrides=("paths.dta=elsewhere",),
    ),
    Case(
        "--set of invalid YAML",
        ("error: --set model={vision: : invalid YAML: while parsing a flow node: expected the node content",),
        overrides=("model={vision: ",),
    ),
]

STAGES = [
    Case(
        "stages in a cycle",
        ("error: spec.yaml:8:3: stages form a cycle: retrieval -> again -> retrieval",),
        overrides=(
            "stages.again={kind: finetune, task: retrieval, dataset: pictures, epochs: 1, init_from: retrieval}",
            "stages.retrieval.init_from=again",
        ),
    ),
    Case(
        "unknown stage",
        ("error: spec.yaml:9:38: stages.test.checkpoint: no stage 'retrievel'; did you mean 'retrieval'?",),
        spec=SPEC.replace("checkpoint: retrieval", "checkpoint: retrievel"),
    ),
    Case(
        "stage of the wrong kind",
        ("stages.retrieval.init_from: stage 'test' is of kind evaluate; expected a stage that trains (pretrain or finetune)",),
        overrides=("stages.retrieval.init_from=test",),
    ),
    Case(
        "unknown kind of stage",
        ("error: spec.yaml:8:21: stage 'retrieval': unknown kind 'finetuen'; did you mean 'finetune'?",),
        spec=SPEC.replace("kind: finetune", "kind: finetuen"),
    ),
    Case(
        "stage without a kind",
        (
            "error: spec.yaml:10:3: stage 'tests' has no kind; expected one of prepare, extract, pretrain, finetune, evaluate "
            "(or did you mean stage 'test'?)",
        ),
        spec=SPEC + "  tests: {split: val}\n",
    ),
    Case(
        "stage removed that another needs",
        ("error: spec.yaml:9:38: stages.test.checkpoint: no stage 'retrieval'; known: test",),
        overrides=("stages.retrieval=",),
    ),
    Case(
        "unknown dataset, said once although the reference is used twice",
        said(
            "error: spec.yaml:8:57: stages.retrieval.dataset: no dataset 'picture'; did you mean 'pictures'?",
            "  8 |   retrieval: {kind: finetune, task: retrieval, dataset: picture, epochs: 1, batch_size: 2}",
            "    |                                                         ^",
            "",
        ),
        spec=SPEC.replace("dataset: pictures, split", 'dataset: "${stages.retrieval.dataset}", split').replace(
            "dataset: pictures,", "dataset: picture,"
        ),
    ),
    Case(
        "unknown split",
        ("error: spec.yaml:9:75: stages.test.split: dataset 'pictures' has no split 'vall'; did you mean 'val'?",),
        spec=SPEC.replace("split: val,", "split: vall,"),
    ),
    Case(
        "split without the annotations",
        ("error: spec.yaml:9:75: stages.test.split: split 'val' of dataset 'pictures' has no captions: file",),
        spec=SPEC.replace("val: val.json", "val: {questions: questions.json}"),
    ),
    Case(
        "unknown baseline split",
        ("stages.test.baseline_split: dataset 'pictures' has no split 'trian'; did you mean 'train'?",),
        overrides=("stages.test.baseline_split=trian",),
    ),
    Case(
        "nothing makes frames of clips",
        (
            "error: spec.yaml:3:3: datasets.clips: nothing makes frames of its clips; add a stage {kind: extract, dataset: "
            "clips}, or give datasets.clips.frames",
        ),
        spec=CLIPS,
    ),
    Case(
        "clips extracted twice",
        ("error: spec.yaml:3:3: datasets.clips: its clips are extracted by a and b; keep one",),
        spec=CLIPS + "  a: {kind: extract, dataset: clips}\n  b: {kind: extract, dataset: clips}\n",
    ),
    Case(
        "frames of images",
        ("error: spec.yaml:10:36: stages.frames.dataset: dataset 'pictures' holds images; only clips have frames to extract",),
        spec=SPEC + "  frames: {kind: extract, dataset: pictures}\n",
    ),
    Case(
        "unknown converter",
        ("error: spec.yaml:10:36: stages.data.converter: no converter 'demos'; did you mean 'demo'?",),
        spec=SPEC + "  data: {kind: prepare, converter: demos}\n",
    ),
    Case(
        "unknown option of a converter",
        ("stages.data.options.test_clip: unknown option; did you mean 'test_clips'?",),
        overrides=("stages.data={kind: prepare, converter: demo, options: {test_clip: 3}}",),
    ),
]

COMBINATIONS = [
    Case(
        "batch too small for matching",
        ("error: spec.yaml:8:90: stages.retrieval.batch_size: 1 is too small: matching needs another sample as a negative",),
        spec=SPEC.replace("batch_size: 2", "batch_size: 1"),
    ),
    Case(
        "pretraining batch too small for matching",
        ("stages.pre.corpora.0.batch_size: 1 is too small: matching needs another sample as a negative",),
        overrides=pretrain("itm", batch_size=1),
    ),
    Case(
        "more samples joined than a batch has",
        ("stages.pre.corpora.0: batch_size 4 is smaller than needed to concatenate 8 samples",),
        overrides=pretrain("ccap", batch_size=4, concatenate=8),
    ),
    Case(
        "objective twice",
        ("stages.pre.corpora.0.objectives: objective 'itc' is listed twice",),
        overrides=pretrain("itc, itc", batch_size=4),
    ),
    Case(
        "unknown objective",
        ("stages.pre.corpora.0.objectives.0: 'itn' is not possible; did you mean 'itm'?",),
        overrides=pretrain("itn", batch_size=4),
    ),
    Case(
        "vision encoder of another family",
        (
            "error: spec.yaml:10:17: model.vision: encoder 'resnet50' is neither a Swin nor a CLIP vision transformer; "
            "expected a timm name such as 'swin_base_patch4_window7_224' or 'vit_base_patch16_clip_quickgelu_224'",
        ),
        spec=SPEC + "model: {vision: {encoder: resnet50}}\n",
    ),
    Case(
        "width that heads cannot share",
        ("model.text: hidden_size 100 is not a multiple of num_attention_heads 12",),
        overrides=("model.text.hidden_size=100",),
    ),
    Case(
        "self-critical retrieval",
        ("stages.retrieval.self_critical: only captioning can be trained self-critically; the task is retrieval",),
        overrides=("stages.retrieval.self_critical=true",),
    ),
    Case(
        "soft accuracy of retrieval",
        ("stages.test.soft_accuracy: it belongs to question_answering; the tasks are retrieval",),
        overrides=("stages.test.soft_accuracy=true",),
    ),
    Case(
        "submission of retrieval",
        ("stages.test.submission: it belongs to question_answering; the tasks are retrieval",),
        overrides=("stages.test.submission=true",),
    ),
    Case(
        "submission on the split that chooses the checkpoint",
        (
            "stages.test.submission: split 'val' has no answers, but answers chooses its checkpoint by it; give "
            "stages.answers.validation_split, or leave out submission",
        ),
        spec=QUESTIONS,
        overrides=("stages.test.submission=true",),
    ),
    Case(
        "sweep without a split to choose by",
        (
            "stages.retrieval.sweep: a sweep needs a split to choose by, and dataset 'pictures' has none of validation, val, "
            "test with captions; give validation_split",
        ),
        spec=SPEC.replace(" val: ", " held: ").replace("split: val,", "split: held,"),
        overrides=sweep(),
    ),
    Case(
        "zero shot first without a split",
        ("stages.retrieval.zero_shot_first: there is no split to validate on: dataset 'pictures' has none of validation, val",),
        spec=SPEC.replace(" val: ", " held: ").replace("split: val,", "split: held,"),
        overrides=("stages.retrieval.zero_shot_first=true",),
    ),
    Case(
        "unknown metric of a sweep",
        (
            "stages.retrieval.sweep.metric: validation of retrieval gives no metric 'text_to_video_r_1'; did you mean "
            "'text_to_video_r1'?",
        ),
        overrides=sweep(metric="text_to_video_r_1"),
    ),
    Case(
        "metric of a sweep that is not computed",
        ("stages.retrieval.sweep.metric: video_to_text_r1 is only computed with video_to_text: true",),
        overrides=sweep(metric="video_to_text_r1"),
    ),
    Case(
        "sweep for the worst rank",
        ("stages.retrieval.sweep.mode: the best text_to_video_median_rank is the lowest one; write mode: min",),
        overrides=sweep(metric="text_to_video_median_rank"),
    ),
    Case(
        "sweep for the worst recall",
        ("stages.retrieval.sweep.mode: the best text_to_video_r1 is the highest one; write mode: max",),
        overrides=sweep(mode="min"),
    ),
    Case(
        "unknown published metric",
        (
            "stages.test.published.text_to_video_r2: evaluation gives no metric 'text_to_video_r2'; did you mean "
            "'text_to_video_r5'?",
        ),
        overrides=("stages.test.published={text_to_video_r2: 3}",),
    ),
]

ANNOTATIONS = [
    Case("no entries", ("error: train.json holds no entries; expected at least one",), files={"train.json": "[]"}, code=1),
    Case(
        "empty file",
        ("error: train.json is empty; expected a JSON list of entries",),
        files={"train.json": ""},
        code=1,
    ),
    Case(
        "not text",
        ("error: train.json is not UTF-8 text (byte 0); expected a JSON list of entries",),
        files={"train.json": "\udcff"},
        code=1,
    ),
    Case(
        "invalid JSON",
        ("error: train.json, line 2: invalid JSON, found '\"desc\": \"x\"}]' (Expecting ',' delimiter)",),
        files={"train.json": '[{"video_id": "v0", "desc": "x"},\n {"video_id": "v1" "desc": "x"}]'},
        code=1,
    ),
    Case(
        "field of an entry missing",
        ('error: train.json, line 2 (entry 2): field "desc" (or "caption") is missing; found the fields \'text, video_id\'',),
        files={"train.json": '[{"video_id": "v0", "desc": "x"},\n {"video_id": "v1", "text": "x"}]'},
        code=1,
    ),
    Case(
        "name that leaves the media folder",
        (
            'error: train.json, line 1 (entry 1): field "video_id" \'../v0\' leads out of the media folder (part ".."); '
            "expected a relative name such as video7 or a/b",
        ),
        files={"train.json": '[{"video_id": "../v0", "desc": "x"}]'},
        code=1,
    ),
    Case(
        "clip twice in evaluation",
        ("error: val.json, line 2: video_id 'v0' was already used in line 1; an evaluation split needs each video_id once",),
        files={"val.json": '[{"video_id": "v0", "desc": "x"},\n {"video_id": "v0", "desc": "y"}]'},
        code=1,
    ),
    Case(
        "captions where questions belong",
        (
            "error: questions.json holds captions, but stage answers needs questions; give "
            "datasets.pictures.splits.train.questions",
        ),
        spec=QUESTIONS,
        files={"questions.json": CAPTIONS},
        code=1,
    ),
    Case(
        "questions where captions belong",
        ("error: val.json holds questions, but stage retrieval needs captions; give datasets.pictures.splits.val.captions",),
        files={"val.json": ANSWERS},
        code=1,
    ),
]

RUN = ("run-experiment", "spec.yaml")
ELSEWHERE = (
    SPEC.replace("root: images", "root: ${paths.data}/p/images")
    .replace("train: train.json", 'train: "${paths.data}/p/train.json"')
    .replace("val: val.json", 'val: "${paths.data}/p/val.json"')
    + "paths: {data: '${env:COSA_TEST_UNSET:-data}'}\n"
)
SURROUNDINGS = [
    Case(
        "media folder missing",
        (
            "missing: datasets.pictures.root: no folder {tmp}/pictures\nerror: 1 thing is missing; nothing was run",
            "blocked  missing: data of pictures",
        ),
        overrides=("datasets.pictures.root=pictures",),
        arguments=RUN,
        code=1,
    ),
    Case(
        "annotation file missing, said once although two stages read it",
        ("missing: datasets.pictures.splits.val: no file {tmp}/val.json\nerror: 1 thing is missing; nothing was run",),
        files={"val.json": None},
        arguments=RUN,
        code=1,
    ),
    Case(
        "whole dataset missing: one line",
        (
            "missing: datasets.pictures: no folder data/p (root, train and val annotations); put the data there or set "
            "COSA_TEST_UNSET / --set paths.data=FOLDER\nerror: 1 thing is missing; nothing was run",
        ),
        spec=ELSEWHERE,
        arguments=RUN,
        code=1,
    ),
    Case(
        "checkpoint missing",
        (
            "missing: stages.retrieval.init_from: no checkpoint {tmp}/nowhere (expected model.safetensors in it, or a "
            "published checkpoint)",
        ),
        overrides=("stages.retrieval.init_from=./nowhere",),
        arguments=RUN,
        code=1,
    ),
    Case(
        "file of weights missing",
        ("missing: model.vision.pretrained: no file {tmp}/swin.pth",),
        overrides=("model.vision.pretrained=swin.pth",),
        arguments=RUN,
        code=1,
    ),
    Case(
        "storage cannot be written",
        (
            "error: storage: {tmp}/val.json/bad cannot be written (Not a directory); choose another folder with `storage:` in "
            "the spec or --set storage=FOLDER",
        ),
        overrides=("storage=val.json",),
        arguments=RUN,
        code=1,
    ),
    Case(
        "manifest damaged",
        (f"error: {OLD_RESULT}/manifest.json is damaged (", f"; remove {OLD_RESULT} and run again"),
        files={f"{OLD_RESULT}/manifest.json": '{"kind": '},
        arguments=RUN,
        code=1,
    ),
    Case(
        "manifest of something else",
        (f"error: {OLD_RESULT}/manifest.json is damaged (", f"; remove {OLD_RESULT} and run again"),
        files={f"{OLD_RESULT}/manifest.json": "[]"},
        code=1,
    ),
    Case(
        "unknown stage to force",
        ("error: --force: no stage 'tset'; did you mean 'test'?",),
        arguments=(*RUN, "--force", "tset"),
        code=1,
    ),
    Case(
        "nothing recorded for the UI",
        ("error: no MLflow records in {tmp}/storage (no mlflow.db); run an experiment first, or give --storage",),
        arguments=("ui",),
        code=1,
    ),
    Case(
        "no such section", ("error: no section 'finetun'; did you mean 'finetune'?",), arguments=("schema", "finetun"), code=1
    ),
    Case("unknown command", ("No such command 'run'.",), arguments=("run", "spec.yaml")),
    Case("unknown option", ("No such option: --sett",), arguments=("plan", "spec.yaml", "--sett", "a=1")),
]

CASES = [*FIELDS, *SPEC_FILES, *VALUES, *STAGES, *COMBINATIONS, *ANNOTATIONS, *SURROUNDINGS]
IN_A_PROCESS = ("unknown field at the top", "clip twice in evaluation", "unknown stage to force", "unknown command")


def _contents(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def _check(case: Case, folder: Path, before: dict[str, bytes | None], code: object, output: str) -> None:
    for text in case.says:
        assert text.replace("{tmp}", str(folder)) in output
    assert "Traceback" not in output
    assert code == case.code
    assert _contents(folder) == before


def _run(arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> tuple[object, str]:
    monkeypatch.setattr(sys, "argv", ["cosa", *arguments])
    code: object = 0
    try:
        cli.main()
    except SystemExit as end:
        code = end.code
    out, err = capsys.readouterr()
    return code, out + err


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COSA_TEST_UNSET", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.mark.parametrize("spec", [SPEC, QUESTIONS, CLIPS + "  frames: {kind: extract, dataset: clips}\n"])
def test_without_a_mistake_there_is_no_error(
    spec: str, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Case("none", (), spec=spec).write(here)
    before = _contents(here)
    code, output = _run(["plan", "spec.yaml"], capsys, monkeypatch)
    assert code == 0
    assert "new" in output
    assert "missing" not in output
    assert _contents(here) == before  # a plan alone writes nothing


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_mistake_is_told(case: Case, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    case.write(here)
    before = _contents(here)
    code, output = _run(case.command, capsys, monkeypatch)
    _check(case, here, before, code, output)


@pytest.mark.parametrize("name", IN_A_PROCESS)
def test_mistake_is_told_by_a_process(name: str, here: Path) -> None:
    case = next(case for case in CASES if case.id == name)
    case.write(here)
    before = _contents(here)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, str(ROOT / "cli.py"), *case.command]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    _check(case, here, before, done.returncode, done.stdout + done.stderr)
    assert case.says[0].splitlines()[0] in done.stderr  # errors do not mix with what is printed


def test_port_of_the_ui_is_taken(here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "storage").mkdir()
    (here / "storage" / "mlflow.db").touch()
    before = _contents(here)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, output = _run(["ui", "--port", str(port)], capsys, monkeypatch)
    assert code == 1
    assert f"error: --port: port {port} is in use on 127.0.0.1; choose another, or stop what listens there" in output
    assert "Traceback" not in output
    assert _contents(here) == before


def test_a_plan_with_missing_data_is_still_shown(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSA_DATA", str(here / "data"))
    code, output = _run(["plan", str(ROOT / "experiments" / "retrieval" / "msrvtt.yaml")], capsys, monkeypatch)
    assert code == 0
    missing = [line for line in output.splitlines() if line.startswith("missing:")]
    assert len(missing) == 2
    assert missing[0] == (
        f"missing: datasets.msrvtt: no folder {here}/data/msrvtt (root, train and test annotations); put the data there or "
        "set COSA_DATA / --set paths.data=FOLDER"
    )
    assert missing[1].startswith("missing: stages.retrieval.init_from: no checkpoint ")
    assert missing[1].endswith("; set COSA_CHECKPOINTS / --set paths.pretrained=FOLDER")


def test_every_case_has_its_own_name() -> None:
    names = [case.id for case in CASES]
    assert len(names) == len(set(names)) >= 30
