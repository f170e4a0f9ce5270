"""The specs of the published recipes against the published facts (the CSV files beside this test).

`downstream_experiments.csv` and `pretraining_experiments.csv` say what the published scripts run, `paper_results.csv`
what was reported. Nothing here needs torch, data or a network.
"""

import csv
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from cosa.model_config import ModelConfig
from workflows.spec.experiment import Experiment
from workflows.spec.load import load_spec
from workflows.stages.evaluate import EvaluateSection
from workflows.stages.extract import ExtractSection
from workflows.stages.finetune import FinetuneSection
from workflows.stages.prepare import PrepareSection
from workflows.stages.pretrain import PretrainSection

Row = dict[str, str]
HERE = Path(__file__).parent
ROOT = HERE.parents[1]
EXPERIMENTS = ROOT / "experiments"
FILES = sorted(
    file.relative_to(EXPERIMENTS).as_posix()
    for folder in ("pretrain", "retrieval", "captioning", "qa")
    for file in (EXPERIMENTS / folder).glob("*.yaml")
)
WORKERS = 8  # the published scripts start eight processes; their batches count all of them

# (experiment, submission) of downstream_experiments.csv -> spec, stage that trains by this row
DOWNSTREAM = {
    ("retrieval-msrvtt", ""): ("retrieval/msrvtt.yaml", "retrieval"),
    ("retrieval-vatex", ""): ("retrieval/vatex.yaml", "retrieval"),
    ("retrieval-lsmdc", ""): ("retrieval/lsmdc.yaml", "retrieval"),
    ("retrieval-didemo", ""): ("retrieval/didemo.yaml", "retrieval"),
    ("retrieval-activitynet", ""): ("retrieval/activitynet.yaml", "retrieval"),
    ("retrieval-flickr", ""): ("retrieval/flickr.yaml", "retrieval"),
    ("caption-youcook", ""): ("captioning/youcook.yaml", "captioning"),
    ("caption-msvd", ""): ("captioning/msvd.yaml", "captioning"),
    ("caption-msrvtt", ""): ("captioning/msrvtt.yaml", "captioning"),
    ("caption-tv", ""): ("captioning/tv.yaml", "captioning"),
    ("caption-vatex", ""): ("captioning/vatex.yaml", "captioning"),
    ("caption-vatex/scst", ""): ("captioning/vatex-scst.yaml", "self_critical"),
    ("caption-mscoco", ""): ("captioning/mscoco.yaml", "captioning"),
    ("caption-mscoco/scst", ""): ("captioning/mscoco-scst.yaml", "self_critical"),
    ("VQA-tgif", ""): ("qa/tgif.yaml", "answers"),
    ("VQA-msvd", ""): ("qa/msvd.yaml", "answers"),
    ("vqa-msrvtt", ""): ("qa/msrvtt.yaml", "answers"),
    ("VQA-activitynet", ""): ("qa/activitynet.yaml", "answers"),
    ("VQA-vqav2_3129", ""): ("qa/vqav2.yaml", "answers"),
    ("VQA-vqav2_3129", "True"): ("qa/vqav2-test.yaml", "answers"),
}
# (task, dataset) of paper_results.csv -> specs that show these numbers
RESULTS = {
    ("retrieval", "msrvtt"): ["retrieval/msrvtt.yaml"],
    ("retrieval", "didemo"): ["retrieval/didemo.yaml"],
    ("retrieval", "lsmdc"): ["retrieval/lsmdc.yaml"],
    ("retrieval", "activitynet"): ["retrieval/activitynet.yaml"],
    ("retrieval", "flickr30k"): ["retrieval/flickr.yaml"],
    ("retrieval", "mscoco"): ["retrieval/mscoco.yaml"],
    ("captioning", "msrvtt"): ["captioning/msrvtt.yaml"],
    ("captioning", "msvd"): ["captioning/msvd.yaml"],
    ("captioning", "vatex"): ["captioning/vatex.yaml", "captioning/vatex-scst.yaml"],
    ("captioning", "tvc"): ["captioning/tv.yaml"],
    ("captioning", "youcook2"): ["captioning/youcook.yaml"],
    ("question_answering", "msrvtt"): ["qa/msrvtt.yaml"],
    ("question_answering", "msvd"): ["qa/msvd.yaml"],
    ("question_answering", "tgif"): ["qa/tgif.yaml"],
    ("question_answering", "activitynet"): ["qa/activitynet.yaml"],
    ("question_answering", "vqav2"): ["qa/vqav2-test.yaml"],
}
# Published vision encoders, in timm's names.
ENCODERS = {
    "swin_base_22k_224": ("swin_base_patch4_window7_224.ms_in22k", 0.2),
    "clip_vit_large_14_336px": ("vit_large_patch14_clip_quickgelu_336", 0.0),
}
OBJECTIVES = {
    "ret_cret_ccap_cmlm": ("itc", "itm", "citc", "citm", "ccap", "cmlm"),
    "ret_ccap_cmlm": ("itc", "itm", "ccap", "cmlm"),
}
CORPORA = {"webvid2.5m": "webvid"}  # a dot in a dataset's name would get in the way of --set


def _rows(file: str) -> list[Row]:
    with (HERE / file).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@cache
def _experiment(file: str) -> Experiment:
    return load_spec(EXPERIMENTS / file, environment={})


def _the_only(experiment: Experiment, kind: type) -> Any:
    (stage,) = (stage for stage in experiment.stages.values() if isinstance(stage, kind))
    return stage


def _is_true(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def _annotation_file(row: Row, column: str) -> str:
    return Path(row[column]).name  # The converters write files of these names.


DOWNSTREAM_ROWS = _rows("downstream_experiments.csv")
PRETRAINING_ROWS = _rows("pretraining_experiments.csv")
PAPER_ROWS = _rows("paper_results.csv")


def _downstream_id(row: Row) -> str:
    return row["experiment"] + ("-submission" if row["submission"] else "")


def _downstream(row: Row) -> tuple[Experiment, FinetuneSection]:
    file, stage_name = DOWNSTREAM[row["experiment"], row["submission"]]
    stage = _experiment(file).stages[stage_name]
    assert isinstance(stage, FinetuneSection)
    return _experiment(file), stage


downstream = pytest.mark.parametrize("row", DOWNSTREAM_ROWS, ids=_downstream_id)


# -- every file -------------------------------------------------------------------------------------------------------


def test_every_published_recipe_has_a_spec_and_every_spec_is_one() -> None:
    assert {(row["experiment"], row["submission"]) for row in DOWNSTREAM_ROWS} == set(DOWNSTREAM)
    downstream_files = {file for file, _ in DOWNSTREAM.values()}
    pretraining_files = {f"pretrain/{row['experiment'].removeprefix('pretrain-')}.yaml" for row in PRETRAINING_ROWS}
    assert downstream_files | pretraining_files | {"retrieval/mscoco.yaml"} == set(FILES)


@pytest.mark.parametrize("file", FILES)
def test_spec_loads(file: str) -> None:
    experiment = _experiment(file)
    assert experiment.stages
    kinds = {stage.kind for stage in experiment.stages.values()}
    assert kinds <= {"prepare", "pretrain"} if file.startswith("pretrain/") else {"finetune", "evaluate"} <= kinds


@pytest.mark.parametrize("file", FILES)
def test_paths_follow_the_environment(file: str) -> None:
    moved = load_spec(EXPERIMENTS / file, environment={"COSA_DATA": "/my/data", "COSA_CHECKPOINTS": "/my/checkpoints"})
    for dataset in moved.section.datasets.values():
        files = [path for split in dataset.splits.values() for path in split.model_dump().values()]
        for path in (dataset.root, dataset.frames, *files):
            assert path is None or path.startswith("/my/data/") != (dataset.made_by is not None)
    for stage in moved.stages.values():
        if isinstance(stage, PrepareSection):
            for option in ("source", "media", "frames"):
                assert stage.options.get(option, "/my/data/").startswith("/my/data/")
    first = next((s for s in moved.stages.values() if isinstance(s, FinetuneSection)), None)
    if first is not None:
        assert first.init_from == "/my/checkpoints/cosa-base-swin-17m"


@pytest.mark.parametrize("file", FILES)
def test_pretrained_checkpoint_is_one_override_away(file: str) -> None:
    other = load_spec(EXPERIMENTS / file, ["paths.pretrained=elsewhere/large"], environment={})
    starts = {stage.init_from for stage in other.stages.values() if isinstance(stage, FinetuneSection)}
    assert starts <= {"elsewhere/large", "captioning"}


@pytest.mark.parametrize("file", FILES)
def test_header(file: str) -> None:
    schema, *lines = (EXPERIMENTS / file).read_text(encoding="utf-8").splitlines()
    assert schema == "# yaml-language-server: $schema=../spec.schema.json"
    assert lines[0] == f"# Run:      cosa run-experiment experiments/{file}"
    assert re.match(r"# Hardware: \S", lines[1])
    assert "published" in lines[1] or "our estimate" in lines[1]
    assert re.match(r"# Paper:    \S", lines[2])
    numbers = _published(file)
    if not numbers:
        assert lines[2].startswith("# Paper:    not published")
    for number in numbers.values():
        assert re.search(rf"(?<![\d.]){re.escape(f'{number:g}')}(\.0)?(?![\d.])", lines[2]), number
    assert re.match(r"# Purpose:  \S.*[^.]$", lines[3])
    page, _, heading = lines[4].removeprefix("# Data:     ").partition("#")
    assert heading in _headings(page)
    rest = [line for line in lines[5:] if line.startswith("#")]
    assert not rest or rest[0].startswith("# Note:     ")


@cache
def _headings(page: str) -> frozenset[str]:
    """Return the names by which links find the headings of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    return frozenset(re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles)


# -- finetuning -------------------------------------------------------------------------------------------------------


@downstream
def test_training(row: Row) -> None:
    experiment, stage = _downstream(row)
    assert experiment.section.seed == int(row["seed"])
    assert stage.task == row["task"]
    assert stage.self_critical == _is_true(row["scst"])
    assert stage.learning_rate == float(row["learning_rate"])
    assert stage.batch_size == int(row["global_batch"])
    assert stage.epochs == float(row["epochs"])
    assert stage.betas == tuple(float(beta) for beta in row["betas"].split(";"))
    assert stage.weight_decay == float(row["weight_decay"])
    assert stage.gradient_clip == float(row["grad_clip"])
    assert stage.warmup_ratio == float(row["warmup_ratio"])
    assert row["optimizer"] == "adamw"  # the only one there is
    assert float(row["vision_clip_lr"]) == 5e-7  # what a left-out vision_learning_rate means for CLIP encoders
    assert stage.vision_learning_rate is None
    assert stage.gradient_checkpointing == _is_true(row["gradient_checkpointing"])
    assert stage.precision == ("float16" if _is_true(row["fp16"]) else "float32"), (
        "precision: auto would leave it to the machine"
    )
    if row["itm_ratio"]:
        assert stage.itm_ratio == float(row["itm_ratio"])


@downstream
def test_input(row: Row) -> None:
    experiment, stage = _downstream(row)
    assert stage.train_frames == int(row["train_frames"])
    assert stage.frames_in_evaluation == int(row["eval_frames"])
    assert stage.resolution == int(row["resolution"])
    assert stage.transforms == row["transforms"]
    assert stage.max_text_tokens == int(row["max_text_tokens"])
    dataset = experiment.section.datasets[stage.dataset]
    assert dataset.media == row["media"]
    if row["frames_fps"]:
        extract = _the_only(experiment, ExtractSection)
        assert (extract.dataset, extract.fps) == (stage.dataset, float(row["frames_fps"]))
    else:
        assert not any(isinstance(stage, ExtractSection) for stage in experiment.stages.values())


@downstream
def test_annotations(row: Row) -> None:
    experiment, stage = _downstream(row)
    kind = "questions" if row["task"] == "question_answering" else "captions"
    splits = experiment.section.datasets[stage.dataset].splits
    test = _the_only(experiment, EvaluateSection)
    assert getattr(splits[stage.train_split], kind) == _annotation_file(row, "train_annotations")
    assert getattr(splits[test.split], kind) == _annotation_file(row, "eval_annotations")
    assert test.submission == bool(row["submission"])
    assert stage.validation_split is not None
    if test.submission:  # a split without answers can choose nothing
        assert (stage.validation_split, test.split) == ("val", "test")
    else:
        assert stage.validation_split == test.split
    if row["caption_references"]:
        assert splits[test.split].references == _annotation_file(row, "caption_references")


@downstream
def test_evaluation(row: Row) -> None:
    experiment, stage = _downstream(row)
    assert stage.zero_shot_first == _is_true(row["zero_shot_eval_first"])
    assert stage.evaluations_per_run == int(row["evaluations_per_run"])
    test = _the_only(experiment, EvaluateSection)
    assert experiment.stages[test.checkpoint] is stage
    assert (test.dataset, test.tasks) == (stage.dataset, (stage.task,))
    for section in (stage, test):
        assert section.frames_in_evaluation == int(row["eval_frames"])
        assert section.resolution == int(row["resolution"])
        assert section.eval_batch_size * WORKERS == int(row["eval_batch"])  # ours is a worker's
        assert section.soft_accuracy == (row["dataset"] == "vqav2_selftrainval")
        if row["task"] == "captioning":  # answers are always greedy, as published with beam 1
            assert section.beam_size == int(row["beam"])


@downstream
def test_start(row: Row) -> None:
    experiment, stage = _downstream(row)
    expected = "captioning" if _is_true(row["scst"]) else "checkpoints/cosa-base-swin-17m"
    assert stage.init_from == expected
    assert experiment.section.model == ModelConfig()  # the checkpoint brings its own


@pytest.mark.parametrize("dataset", ["vatex", "mscoco"])
def test_self_critical_training_follows_the_same_captioning_stage(dataset: str) -> None:
    plain, critical = _experiment(f"captioning/{dataset}.yaml"), _experiment(f"captioning/{dataset}-scst.yaml")
    assert critical.name == plain.name
    assert critical.section == plain.section
    assert critical.stages["captioning"] == plain.stages["captioning"]


def test_vqav2_submission_uses_the_trained_stage() -> None:
    trained, submitted = _experiment("qa/vqav2.yaml"), _experiment("qa/vqav2-test.yaml")
    assert submitted.section == trained.section
    assert submitted.stages["answers"] == trained.stages["answers"]


def test_coco_retrieval_is_flickrs_recipe() -> None:
    coco, flickr = _experiment("retrieval/mscoco.yaml"), _experiment("retrieval/flickr.yaml")
    stage = coco.stages["retrieval"]
    assert stage.model_copy(update={"dataset": "flickr"}) == flickr.stages["retrieval"]
    splits = coco.section.datasets["coco"].splits
    assert splits["train"].captions == "train_desc.json"
    assert splits["test"].captions == "test_desc.json"


# -- pretraining ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted({row["experiment"] for row in PRETRAINING_ROWS}))
def test_pretraining(name: str) -> None:
    rows = [row for row in PRETRAINING_ROWS if row["experiment"] == name]
    experiment = _experiment(f"pretrain/{name.removeprefix('pretrain-')}.yaml")
    stage = _the_only(experiment, PretrainSection)
    assert [(corpus.dataset, corpus.split, corpus.objectives, corpus.steps, corpus.batch_size) for corpus in stage.corpora] == [
        (
            CORPORA.get(row["corpus"], row["corpus"]),
            "train",
            OBJECTIVES[row["objectives"]],
            int(row["steps"]),
            int(row["global_batch"]),
        )
        for row in rows
    ]
    for row in rows:
        assert experiment.section.seed == int(row["seed"])
        assert stage.train_frames == int(row["frames_per_sample"])
        assert stage.concatenate == int(row["samples_concatenated"])
        assert stage.learning_rate == float(row["learning_rate"])
        assert stage.itm_ratio == float(row["itm_ratio"])
        assert stage.weight_decay == float(row["weight_decay"])
        assert stage.gradient_clip == float(row["grad_clip"])
        assert stage.warmup_ratio == float(row["warmup_ratio"])
        assert stage.betas == tuple(float(beta) for beta in row["betas"].split(";"))
        vision, text = experiment.section.model.vision, experiment.section.model.text
        assert (stage.resolution or vision.resolution) == int(row["resolution"])
        assert vision.frozen == _is_true(row["frozen_vision"])
        assert (vision.encoder, vision.stochastic_depth) == ENCODERS[row["vision"]]
        assert text.encoder.replace("-", "_") == row["text"]
        assert vision.pretrained is text.pretrained is True
        media = "video" if row["corpus"].startswith("webvid") else "image"
        dataset = experiment.section.datasets[CORPORA.get(row["corpus"], row["corpus"])]
        assert (dataset.media, dataset.frames is not None) == (media, media == "video")


# -- published numbers ------------------------------------------------------------------------------------------------


def _published(file: str) -> dict[str, float]:
    stages = [stage for stage in _experiment(file).stages.values() if isinstance(stage, EvaluateSection)]
    return {metric: value for stage in stages for metric, value in stage.published.items()}


def _our_metric(row: Row) -> str:
    if row["dataset"] == "vqav2":
        return "vqa_accuracy"
    return row["metric"].replace("text_to_image", "text_to_video")  # one name for clips and images


@pytest.mark.parametrize("file", FILES)
def test_published_numbers(file: str) -> None:
    expected = {_our_metric(row): float(row["value"]) for row in PAPER_ROWS if file in RESULTS[row["task"], row["dataset"]]}
    assert _published(file) == expected
