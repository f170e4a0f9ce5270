"""The sections of a spec. Each field says what it is; `cosa schema` prints them all.

Sections of components (model, optimizer, evaluation, ...) belong to those components in `cosa`; stages combine them.
"""

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, StringConstraints, field_validator, model_validator

from cosa.behaviour import BehaviourName
from cosa.data.clip_settings import ClipSettings
from cosa.evaluation.evaluation_settings import EvaluationSettings
from cosa.model_config import ModelConfig
from cosa.objectives.all_objectives import OBJECTIVES, PRETRAINING_OBJECTIVES
from cosa.objectives.objective_settings import ObjectiveSettings
from cosa.section import OneOf, Section, no_effect
from cosa.training.training_settings import LoopSettings, OptimizerSettings
from workflows.spec.bucket import checked_bucket
from workflows.spec.secrets import mask_passwords
from workflows.spec.sweep import SweepSection, check_sweep

KEY_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"  # without dots: --set a.b.c must be able to name it
Key = Annotated[str, StringConstraints(pattern=KEY_PATTERN)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Task = Literal["retrieval", "captioning", "question_answering"]

# The measure by which a task's best checkpoint and trial are chosen; higher is better for all of them.
TASK_METRIC: dict[str, str] = {"retrieval": "text_to_video_r1", "captioning": "cider", "question_answering": "accuracy"}
TASK_OBJECTIVES: dict[str, tuple[str, ...]] = {
    "retrieval": ("itc", "itm"), "captioning": ("cap",), "question_answering": ("qa",),
}  # fmt: skip


class SplitSection(Section):
    """Annotation files of one split (JSON lists, see the README)."""

    captions: str | None = Field(None, description="captions: a list of {video_id, desc}")
    questions: str | None = Field(None, description="questions: a list of {video_id, question, answer}")
    references: str | None = Field(None, description="caption references in COCO style; left out: all captions of a clip")


class DatasetSection(Section):
    """Where media and annotations of a dataset are.

    Relative paths start at the working directory, or in the result of the stage `made_by`.
    """

    media: Literal["video", "image"] = Field(description="what lies in root")
    root: str = Field(description="folder of clips (<video_id>.mp4, ...) or images (<image_id>.jpg, ...)")
    splits: dict[Key, SplitSection] = Field(
        description="annotation files by split; a plain path stands for captions or questions, as the task needs"
    )
    made_by: str | None = Field(None, description="the prepare stage that makes this dataset")
    frames: str | None = Field(
        None,
        description="folder <video_id>/frame_0001.jpg, ... of frames that exist already: no extract stage is needed",
    )

    @field_validator("splits", mode="before")
    @classmethod
    def _plain_path(cls, splits: Any) -> Any:
        if isinstance(splits, dict):
            return {
                name: {"captions": split, "questions": split} if isinstance(split, str) else split
                for name, split in splits.items()
            }
        return splits


class ClusterSection(Section):
    """Where stages run. None of it changes a result."""

    address: str = Field(
        "local",
        description="local: start Ray on this machine; auto or HOST:PORT: a running cluster that this machine is part of; "
        "ray://HOST:PORT: one that it is not part of, but shares the storage with",
    )
    cpus: PositiveInt | None = Field(None, description="cores that a local Ray uses; left out: all")
    workers: PositiveInt | Literal["auto"] = Field(
        "auto", description="training workers a stage; auto: one a GPU, without GPUs two (one on a single core)"
    )
    min_workers: PositiveInt | None = Field(
        None,
        description="with max_workers: training goes on with fewer workers when machines leave, and with more when some join",
    )
    max_workers: PositiveInt | None = Field(None, description="see min_workers; takes the place of workers")
    cpus_per_worker: PositiveInt = Field(1, description="cores a training worker")
    gpus_per_worker: Annotated[float, Field(ge=0)] | Literal["auto"] = Field(
        "auto", description="GPUs a training worker; auto: one if the cluster has any"
    )
    placement: Literal["pack", "spread", "strict_pack", "strict_spread"] = Field(
        "pack",
        description="workers of a stage on few machines or on many, if possible; strict_pack: all on one; "
        "strict_spread: each on another",
    )
    dashboard_port: int | None = Field(None, ge=1024, le=65535, description="left out: 8265 or the next free port")
    checkpoint_storage: str | None = Field(
        None,
        description="s3://BUCKET/PREFIX?endpoint_override=HOST:PORT&scheme=http: where unfinished training keeps its "
        "checkpoints; left out: in the storage folder (docs/team.md)",
    )

    @field_validator("checkpoint_storage")
    @classmethod
    def _bucket(cls, address: str | None) -> str | None:
        return checked_bucket(address) if address is not None else None

    @field_validator("address")
    @classmethod
    def _reachable(cls, address: str) -> str:
        found = re.fullmatch(r"local|auto|(ray://)?[^\s:/]+:(?P<port>[0-9]{1,5})", address)
        if found is None or int(found["port"] or 1) not in range(1, 2**16):
            raise ValueError(f"{address!r} is no address; expected local, auto, HOST:PORT or ray://HOST:PORT")
        return address

    @model_validator(mode="after")
    def _possible(self) -> "ClusterSection":
        if (self.min_workers is None) != (self.max_workers is None):
            given, lacking = ("min_workers", "max_workers") if self.max_workers is None else ("max_workers", "min_workers")
            raise ValueError(f"{given}: give {lacking}, too, or a fixed number by workers")
        if self.min_workers is not None and self.max_workers is not None:
            if self.min_workers > self.max_workers:
                raise ValueError(f"min_workers: {self.min_workers} is more than max_workers {self.max_workers}")
            if self.workers != "auto":
                raise ValueError("workers: a fixed number and min_workers with max_workers exclude each other; leave one out")
            if self.placement.startswith("strict"):
                raise ValueError(
                    f"placement: {self.placement} may leave no room for a changing number of workers; "
                    f"with min_workers choose {self.placement.removeprefix('strict_')}"
                )
        if self.address == "local" and self.placement == "strict_spread":
            raise ValueError("placement: strict_spread needs a machine a worker, and address local is one machine")
        return self


class TrackingSection(Section):
    """Where MLflow records runs."""

    uri: str | None = Field(
        None, description="http(s)://SERVER or a database's URI; left out: an sqlite file in the storage folder"
    )
    checkpoints: Literal["best", "last", "all", "none"] = Field(
        "best",
        description="which go to MLflow. best: the one that a stage keeps; last: that of the last step too; all: those of all "
        "evaluations (none is deleted before the stage ends: mind the disk); none: only path and sha256",
    )

    @field_validator("uri")
    @classmethod
    def _known_store(cls, uri: str | None) -> str | None:
        if uri is not None and not re.match(r"(https?|sqlite|postgresql|mysql|mssql|databricks)([+][a-z0-9]+)?:", uri):
            raise ValueError(
                f"{mask_passwords(uri)!r} is no tracking store; expected http(s)://SERVER, or a database's URI (sqlite:, "
                "postgresql:, mysql:, mssql:)"
            )
        return uri


class StageSection(Section):
    """What all stages have."""

    kind: str
    description: str | None = no_effect(default=None, description="a line for people")
    matrix: dict[str, list[Any]] | None = no_effect(
        default=None,
        description="one stage NAME-VALUE for every combination of values of fields, as {dataset: [msrvtt, msvd]}; "
        "${matrix.dataset} stands for the value in other fields",
    )


class PrepareSection(StageSection):
    """Make a dataset: generate the demo corpus, or convert a dataset author's own files."""

    kind: Literal["prepare"]
    converter: str = Field(description="which one: see `cosa list`")
    options: dict[str, Any] = Field(default_factory=dict, description="the converter's own options")


class ExtractSection(StageSection):
    """Decode a dataset's clips to frames/<video_id>/frame_%04d.jpg."""

    kind: Literal["extract"]
    dataset: str = Field(description="a dataset with media: video")
    fps: float = Field(4.0, gt=0, le=240, description="frames a second")
    short_side: PositiveInt | None = Field(
        None, description="shrink frames to this shorter side, pixels; left out: as they are"
    )
    jpeg_quality: int = Field(95, ge=1, le=100, description="of the stored frames")
    max_unreadable: NonNegativeInt = Field(
        0, description="how many clips may be unreadable; they are left out of the dataset, and named"
    )


class WorkersMixin(Section):
    """Number of workers of one stage."""

    workers: PositiveInt | None = no_effect(default=None, description="overrides cluster.workers for this stage")


class CorpusSection(Section):
    """One corpus of a pretraining run."""

    dataset: str = Field(description="name of a dataset")
    split: str = Field("train", description="its split")
    objectives: tuple[Annotated[str, OneOf(PRETRAINING_OBJECTIVES)], ...] = Field(
        min_length=1, description="losses that are summed; see `cosa schema`"
    )
    steps: PositiveInt = Field(description="steps that draw from this corpus")
    batch_size: PositiveInt = Field(description="samples a step over all workers")

    @field_validator("objectives")
    @classmethod
    def _once_each(cls, objectives: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in objectives if objectives.count(name) > 1})
        if twice:
            raise ValueError(f"objective {twice[0]!r} is listed twice")
        return objectives


class BehaviourMixin(Section):
    """Whether a stage repeats what the published code does where that is a defect (docs/deviations.md)."""

    behaviour: BehaviourName = Field("default", description="published: repeat the published code; left out: the experiment's")


class TrainSection(
    StageSection, OptimizerSettings, LoopSettings, ClipSettings, ObjectiveSettings, WorkersMixin, BehaviourMixin
):
    """What pretraining and finetuning share."""

    MAKES_ANOTHER_LOSS: ClassVar[tuple[str, ...]] = ()  # fields that no sweep takes, if it compares losses

    init_from: str | None = Field(
        None,
        description="a training stage, or a checkpoint: a folder of ours, a published folder or file (a path with a slash); "
        "left out: the model section",
    )
    register_as: Name | None = no_effect(
        default=None,
        description="registered model in MLflow that the stage's model becomes a version of; the best one is its `champion`",
    )
    sweep: SweepSection | None = Field(None, description="try several values of fields, and keep the best")

    @model_validator(mode="after")
    def _possible_sweep(self) -> "TrainSection":
        if self.sweep is not None:
            check_sweep(self, self.sweep, self.MAKES_ANOTHER_LOSS)
        return self


class PretrainSection(TrainSection):
    """Learn from image-text and video-text corpora, also on concatenated samples (paper, section 3)."""

    MAKES_ANOTHER_LOSS: ClassVar[tuple[str, ...]] = (
        "corpora", "concatenate", "behaviour", "max_text_tokens", *ObjectiveSettings.model_fields,
    )  # fmt: skip

    kind: Literal["pretrain"]
    corpora: tuple[CorpusSection, ...] = Field(
        min_length=1, description="corpora; one is drawn each step, in proportion to steps"
    )
    concatenate: PositiveInt = Field(4, description="samples joined into one, the sample itself included")

    @model_validator(mode="after")
    def _enough_samples(self) -> "PretrainSection":
        for index, corpus in enumerate(self.corpora):
            joined = {name for name in corpus.objectives if OBJECTIVES[name].concatenated}
            where = f"corpora.{index}"
            if joined and self.concatenate < 2:
                raise ValueError(f"{where}: objective {min(joined)!r} needs concatenate of at least 2")
            if joined and corpus.batch_size < self.concatenate:
                raise ValueError(
                    f"{where}: batch_size {corpus.batch_size} is smaller than needed to concatenate {self.concatenate} samples"
                )
        return self


class FinetuneSection(TrainSection, EvaluationSettings):
    """Train one task on one dataset and keep the checkpoint that is best in validation (paper, section 4)."""

    kind: Literal["finetune"]
    task: Task = Field(description="what to learn")
    dataset: str = Field(description="name of a dataset")
    train_split: str = Field("train", description="split to train on")
    validation_split: str | None = Field(
        None,
        description="split to select on; left out: the dataset's validation, val or test split, whichever comes first",
    )
    epochs: float = Field(gt=0, description="passes over the training split; fractions are allowed")
    batch_size: PositiveInt = Field(64, description="samples a step over all workers")
    itm_ratio: float = Field(0.1, ge=0, description="weight of the matching loss in retrieval finetuning")
    self_critical: bool = Field(
        False, description="captioning: reward sampled captions by CIDEr against the beam-search caption (SCST)"
    )
    zero_shot_first: bool = Field(False, description="validate once before training")


class EvaluateSection(StageSection, ClipSettings, EvaluationSettings, WorkersMixin, BehaviourMixin):
    """Evaluate a checkpoint; straight from pretraining that is zero-shot.

    Fields of clips and evaluation that are left out are those of the stage that trained the checkpoint.
    """

    INHERITED: ClassVar[tuple[str, ...]] = (*ClipSettings.model_fields, *EvaluationSettings.model_fields)

    kind: Literal["evaluate"]
    checkpoint: str = Field(
        description="a training stage, or a checkpoint: a folder of ours, a published folder or file (a path with a slash)"
    )
    dataset: str = Field(description="name of a dataset")
    split: str = Field("test", description="split to evaluate on")
    tasks: tuple[Task, ...] = Field(min_length=1, description="what to evaluate; each task once")
    baseline_split: str = Field("train", description="split that the constant caption and the most frequent answer come from")
    submission: bool = Field(False, description="the split has no answers: write submission.json for the benchmark's server")
    published: dict[str, float] = no_effect(default_factory=dict, description="published metrics, shown beside ours")

    @field_validator("tasks")
    @classmethod
    def _each_task_once(cls, tasks: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(tasks)) != len(tasks):
            raise ValueError("a task stands twice")
        return tasks


STAGE_SECTIONS: dict[str, type[StageSection]] = {
    "prepare": PrepareSection,
    "extract": ExtractSection,
    "pretrain": PretrainSection,
    "finetune": FinetuneSection,
    "evaluate": EvaluateSection,
}


class ExperimentSection(Section):
    """The top of a spec, stages left out: they are validated one by one, by kind."""

    name: Name = Field(description="name of the experiment: folder in the storage, experiment in MLflow")
    description: str | None = Field(None, description="a line for people")
    seed: int = Field(50, ge=0, lt=2**31, description="seed of all randomness")
    behaviour: BehaviourName = Field(
        "default", description="published: repeat what the published code does where that is a defect (docs/deviations.md)"
    )
    storage: str = Field("storage", description="folder of all results")
    paths: dict[Key, str] = Field(default_factory=dict, description="names for ${paths.NAME} in other fields")
    model: ModelConfig = Field(default_factory=ModelConfig, description="of stages that start from no checkpoint")
    datasets: dict[Key, DatasetSection] = Field(default_factory=dict, description="datasets by name")
    cluster: ClusterSection = Field(default_factory=ClusterSection, description="where stages run")
    tracking: TrackingSection = Field(default_factory=TrackingSection, description="where runs are recorded")
