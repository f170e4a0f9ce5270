"""How stages are connected, and which of them make no sense together."""

from pathlib import Path

import numpy as np
import pytest

from cosa.evaluation.answer_metrics import answer_accuracy, vqa_accuracy
from cosa.evaluation.retrieval_metrics import retrieval_metrics
from cosa.tasks.all_tasks import TASKS, EvaluationSettings, all_metrics
from workflows.spec.experiment import Experiment
from workflows.spec.load import load_spec
from workflows.spec.problems import SpecError
from workflows.spec.references import is_path

SPEC = """\
name: demo
datasets:
  made: {media: video, made_by: corpus, root: clips, splits: {train: a.json, validation: b.json, test: c.json}}
  own: {media: image, root: images, splits: {train: d.json, test: e.json}}
stages:
  test: {kind: evaluate, checkpoint: captioning, dataset: made, tasks: [captioning]}
  captioning: {kind: finetune, task: captioning, init_from: pretrain, dataset: made, epochs: 1, train_frames: 2}
  pretrain: {kind: pretrain, corpora: [{dataset: own, objectives: [itc, cap], steps: 1, batch_size: 2}], concatenate: 1}
  frames: {kind: extract, dataset: made}
  corpus: {kind: prepare, converter: demo}
"""


def load(tmp_path: Path, *overrides: str, text: str = SPEC) -> Experiment:
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    return load_spec(path, overrides, environment={})


def problems(tmp_path: Path, *overrides: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load(tmp_path, *overrides)
    return [problem.message for problem in caught.value.problems]


def test_inputs_and_order(tmp_path: Path) -> None:
    experiment = load(tmp_path)
    assert experiment.inputs == {
        "test": ("corpus", "frames", "captioning"),
        "captioning": ("corpus", "frames", "pretrain"),
        "pretrain": (),
        "frames": ("corpus",),
        "corpus": (),
    }
    order = list(experiment.stages)
    assert all(order.index(i) < order.index(name) for name, inputs in experiment.inputs.items() for i in inputs)
    assert experiment.frames == {"made": "frames"}
    assert experiment.warnings == ()


def test_frames_that_exist_need_no_extract_stage(tmp_path: Path) -> None:
    experiment = load(tmp_path, "datasets.made.frames=frames", "stages.frames=")
    assert experiment.inputs["captioning"] == ("corpus", "pretrain")


def test_paths_and_names() -> None:
    assert is_path("a/b") and is_path("./a") and is_path("..")
    assert not is_path("pretrain")


def test_cycle_names_its_stages(tmp_path: Path) -> None:
    assert problems(tmp_path, "stages.pretrain.init_from=captioning") == [
        "stages form a cycle: captioning -> pretrain -> captioning"
    ]


def test_invalid_stage_is_not_reported_twice(tmp_path: Path) -> None:
    assert problems(tmp_path, "stages.captioning.epochs=0") == [
        "stages.captioning.epochs: input should be greater than 0, got 0"
    ]


# -- warnings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "warnings"),
    [
        (["stages.captioning.validation_split=test"], ["test reports on made/test, by which captioning selected the"]),
        (["stages.test.split=validation"], ["test reports on made/validation, by which captioning selected"]),
        # a split of another name with the same files
        (
            ["datasets.made.splits.minival=c.json", "stages.captioning.validation_split=minival"],
            ["test reports on made/test, by which captioning selected"],
        ),
        # selected by it further up the chain
        (
            [
                "stages.captioning.validation_split=test",
                "stages.scst={kind: finetune, task: captioning, init_from: captioning, dataset: made, epochs: 1, "
                "train_frames: 2}",
                "stages.test.checkpoint=scst",
            ],
            ["test reports on made/test, by which captioning selected"],
        ),
        # another dataset's split of the same name is another split
        (["stages.captioning.validation_split=test", "stages.test.dataset=own"], []),
        (
            ["datasets.made.frames=f"],
            ["nothing reads the frames of stage frames: datasets.made.frames is set; leave out one of them (--set stages.fr"],
        ),
        (
            ["stages.test.tasks=[retrieval, captioning, question_answering]"],
            [
                "test evaluates retrieval on captioning, which was finetuned for captioning and never for retrieval:",
                "test evaluates question_answering on captioning, which was finetuned for captioning and never for question",
            ],
        ),
        # zero-shot evaluation of pretraining is what it is for
        (["stages.test.checkpoint=pretrain", "stages.test.tasks=[retrieval]"], []),
        (
            ["stages.pretrain.init_from=./weights", "model.contrastive_dim=64"],
            ["the model section is not used: pretrain, captioning start from checkpoints, and a checkpoint brings its own"],
        ),
        (["model.contrastive_dim=64"], []),
    ],
)  # fmt: skip
def test_warnings(overrides: list[str], warnings: list[str], tmp_path: Path) -> None:
    found = load(tmp_path, *overrides).warnings
    assert len(found) == len(warnings)
    for expected in warnings:
        assert any(warning.startswith(expected) for warning in found), found


def test_several_stages_that_select_by_the_test_split_are_one_warning(tmp_path: Path) -> None:
    (warning,) = load(
        tmp_path,
        "stages.captioning.validation_split=test",
        "stages.scst={kind: finetune, task: captioning, init_from: captioning, dataset: made, epochs: 1, train_frames: 2}",
        "stages.scst.validation_split=test",
        "stages.test.checkpoint=scst",
    ).warnings
    assert "by which scst and captioning selected" in warning


# -- what does not go together ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("metric: cidr", "metric: validation of captioning computes no metric 'cidr'; did you mean 'cider'?"),
        ("metric: meteor", "metric: validation of captioning computes no metric 'meteor'; known: bleu4, cider"),
        ("mode: min", "mode: the best cider is the highest one; write mode: max"),
    ],
)  # fmt: skip
def test_sweep_that_cannot_choose(fields: str, message: str, tmp_path: Path) -> None:
    assert problems(tmp_path, f"stages.captioning.sweep={{learning_rate: [1e-4], {fields}}}") == [
        f"stages.captioning.sweep.{message}"
    ]


@pytest.mark.parametrize(
    ("task", "fields"),
    [
        ("captioning", "metric: bleu4"),
        ("question_answering", "metric: accuracy"),
        ("retrieval", "metric: text_to_video_mean_r"),
        ("retrieval", "metric: text_to_video_mean_rank, mode: min"),
    ],
)
def test_sweep_that_can_choose(task: str, fields: str, tmp_path: Path) -> None:
    load(
        tmp_path,
        f"stages.captioning.sweep={{learning_rate: [1e-4], {fields}}}",
        f"stages.captioning.task={task}",
        f"stages.test.tasks=[{task}]",
    )


def test_video_to_text_metric_needs_video_to_text(tmp_path: Path) -> None:
    overrides = [
        "stages.captioning.task=retrieval",
        "stages.captioning.sweep={learning_rate: [1e-4], metric: video_to_text_r5}",
    ]
    assert problems(tmp_path, *overrides) == [
        "stages.captioning.sweep.metric: video_to_text_r5 is only computed with video_to_text: true"
    ]
    load(tmp_path, *overrides, "stages.captioning.video_to_text=true")


def test_soft_accuracy_that_is_taken_over_is_no_mistake(tmp_path: Path) -> None:
    experiment = load(
        tmp_path,
        "stages.captioning.task=question_answering",
        "stages.captioning.soft_accuracy=true",
        "stages.test.tasks=[question_answering]",
        "stages.again={kind: evaluate, checkpoint: captioning, dataset: made, tasks: [retrieval]}",
    )
    assert experiment.stages["test"].model_dump()["soft_accuracy"] is True


def test_submission_next_to_another_validation_split(tmp_path: Path) -> None:
    overrides = [
        "stages.captioning.task=question_answering",
        "stages.test.tasks=[question_answering]",
        "stages.test.submission=true",
    ]
    load(tmp_path, *overrides)  # selected by validation, submitted for test
    (problem,) = problems(tmp_path, *overrides, "datasets.made.splits.validation=")
    assert problem.startswith(
        "stages.test.submission: split 'test' has no answers, but captioning selects its checkpoint by it"
    )


# -- names of metrics -------------------------------------------------------------------------------------------------


def test_names_of_metrics_are_those_that_are_computed() -> None:
    ranks = retrieval_metrics(np.eye(3), np.arange(3), video_to_text=True)
    names = {name: {metric.name for metric in task.metrics} for name, task in TASKS.items()}
    assert {name for name in names["retrieval"] if not name.startswith("contrastive_")} == set(ranks)
    assert names["captioning"] == {*EvaluationSettings().caption_metrics, "spice"}, "SPICE has to be asked for"
    answers = {**answer_accuracy(["a"], [["a"]]), **vqa_accuracy(["a"], [["a"] * 10])}
    assert names["question_answering"] == set(answers)


def test_ranks_are_better_when_lower() -> None:
    lower = {f"{direction}_{name}_rank" for direction in ("text_to_video", "video_to_text") for name in ("median", "mean")}
    assert {metric.name for metric in all_metrics() if metric.lower_is_better} == lower
