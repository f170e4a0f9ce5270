"""Declares the sections of a spec, except those of stages, which belong to their kinds; `cosa schema` prints all of them.

Sections of components (model, optimizer, evaluation, ...) belong to those components in `cosa`; stages combine them.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    PositiveInt,
    StringConstraints,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema

from cosa.behaviour import BehaviourName
from cosa.data.annotation_use import AnnotationKind
from cosa.data.decoding_settings import DecodingSettings
from cosa.data.media_limits import MAX_PIXELS
from cosa.data.shards.paths import expanded, is_remote
from cosa.data.split_reading import SplitReading
from cosa.errors import UserError
from cosa.model_config import ModelConfig
from cosa.section import Section, added_later, no_effect
from workflows.spec.bucket import checked_bucket
from workflows.spec.notices import checked_notice
from workflows.spec.references import split_fields
from workflows.spec.secrets import mask_passwords

KEY_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"  # It excludes dots, so that --set a.b.c can name it.
Key = Annotated[str, StringConstraints(pattern=KEY_PATTERN)]
ONLINE = "online"
SERVERS = ("http:", "https:", "databricks:")
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]

OneOrSeveral = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value, json_schema_input_type=str | list[str]),
]


AnnotationField = Literal["media", "caption", "question", "answer", "question_id", "question_type"]


class SplitSection(Section):
    """Annotation files of one split: JSON, JSON Lines, CSV, TSV or Parquet, also compressed (see docs/specs.md)."""

    captions: str | None = Field(None, description="captions: a list of {video_id, desc}")
    questions: str | None = Field(None, description="questions: a list of {video_id, question, answer}")
    references: str | None = Field(None, description="caption references in COCO style; left out: all captions of a clip")
    columns: dict[AnnotationField, str] = added_later(
        {}, description="what fields, or columns of tables, are called in the files, such as {media: image_id, caption: title}"
    )
    limit: PositiveInt | None = added_later(
        None, description="only so many clips or images, for a quick trial: the same ones for every seed"
    )
    fraction: float | None = added_later(
        None, gt=0, le=1, description="only such a share of the clips or images; those of a smaller share are in a larger one"
    )

    @model_validator(mode="after")
    def _one_size(self) -> "SplitSection":
        if self.limit is not None and self.fraction is not None:
            raise ValueError("fraction: limit and fraction exclude each other; leave one out")
        return self

    def reading_of(self, kind: AnnotationKind) -> SplitReading:
        """Return how a file is read. References are looked up by clips, whichever part of the split these are."""
        columns = tuple(self.columns.items())
        return SplitReading(columns) if kind == "references" else SplitReading(columns, self.limit, self.fraction)

    shards: OneOrSeveral = added_later(
        (),
        description="tar shards that hold media and captions, such as data/cc3m/{00000..00331}.tar, or a list of such paths; "
        "they take the place of all annotation files and of root",
    )

    @field_validator("shards")
    @classmethod
    def _possible_paths(cls, shards: tuple[str, ...]) -> tuple[str, ...]:
        try:
            for pattern in shards:
                expanded(checked_bucket(pattern) if is_remote(pattern) else pattern)
        except UserError as error:
            raise ValueError(str(error)) from error
        return shards

    @model_validator(mode="after")
    def _shards_alone(self) -> "SplitSection":
        if self.shards and (self.captions or self.questions or self.references):
            raise ValueError("shards: they hold the captions; leave out the annotation files, or the shards")
        if self.shards and self.columns:
            raise ValueError("columns: only annotation files have them; leave them out, since shards hold the captions")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Allow a plain path, too."""
        return {"anyOf": [handler(core_schema), {"type": "string"}]}


class DecodingSection(DecodingSettings):
    """Read frames straight from the videos: the same that an extract stage with these fields would store."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Allow the word for the defaults, too."""
        return {"anyOf": [handler(core_schema), {"const": ONLINE}]}


class DatasetSection(Section):
    """Where media and annotations of a dataset are.

    Relative paths start at the working directory, or in the result of the stage that `made_by` names.
    """

    media: Literal["video", "image"] = Field(description="what root contains")
    root: str | None = Field(
        None, description="folder of clips (<video_id>.mp4, ...) or images (<image_id>.jpg, ...); shards need none"
    )
    splits: dict[Key, SplitSection] = Field(
        description="annotation files by split; a plain path stands for captions or questions, as the task needs, and one that "
        "ends in .tar for shards"
    )
    made_by: str | None = Field(None, description="the prepare stage that makes this dataset")
    frames: str | None = Field(
        None,
        description="folder of frames that exist already, <video_id>/frame_0001.jpg, ...: no extract stage is needed",
    )
    decode: DecodingSection | None = added_later(
        None,
        description="online: frames are read straight from the videos, in place of an extract stage; so are those of videos in "
        "shards (docs/specs.md)",
    )
    linked_folders: list[str] = added_later(
        [], description="folders outside root (or frames) that links inside it may lead to; others are refused"
    )
    max_pixels: PositiveInt = added_later(
        MAX_PIXELS, description="most pixels of an image or of a clip's frame; larger ones are refused before they are decoded"
    )

    @field_validator("splits", mode="before")
    @classmethod
    def _plain_path(cls, splits: Any) -> Any:
        if isinstance(splits, dict):
            return {
                name: dict.fromkeys(split_fields(split), split) if isinstance(split, str) else split
                for name, split in splits.items()
            }
        return splits

    @field_validator("decode", mode="before")
    @classmethod
    def _by_default(cls, decode: Any) -> Any:
        if isinstance(decode, str):
            if decode != ONLINE:
                raise ValueError(f"{decode!r}; expected {ONLINE}, or a mapping of how frames are read from videos")
            return {}
        return decode

    @model_validator(mode="after")
    def _has_videos_to_decode(self) -> "DatasetSection":
        if self.decode is not None and self.media != "video":
            raise ValueError("decode: only videos are decoded; leave it out")
        if self.decode is not None and self.frames is not None:
            raise ValueError("decode: the dataset has frames already; leave out one of decode and frames")
        return self

    @model_validator(mode="after")
    def _media_somewhere(self) -> "DatasetSection":
        if not self.has_shards:
            if self.root is None:
                raise ValueError("root: give the folder of its clips or images")
            return self
        other = next((name for name, split in self.splits.items() if not split.shards), None)
        if other is not None:
            raise ValueError(f"splits.{other}: a dataset has shards in all of its splits or in none; make two of it")
        for name in ("root", "frames", "linked_folders"):
            if getattr(self, name):
                raise ValueError(f"{name}: shards hold the media themselves; leave it out")
        return self

    @property
    def has_shards(self) -> bool:
        """Whether media and captions are in shards."""
        return any(split.shards for split in self.splits.values())

    @property
    def media_bounds(self) -> dict[str, float]:
        """Bounds of the media in shards, and so whether these are clips; samples above them are left out."""
        clips = {} if self.decode is None else {"max_seconds": self.decode.max_seconds}
        return {"max_pixels": self.max_pixels, **clips}


class ClusterSection(Section):
    """Where stages run. None of it changes a result."""

    address: str = Field(
        "local",
        description="local: start Ray on this machine; auto or HOST:PORT: a running cluster that this machine is part of; "
        "ray://HOST:PORT: one that it is not part of, but shares the storage with",
    )
    cpus: PositiveInt | None = Field(None, description="cores that a local Ray uses; left out: all")
    workers: PositiveInt | Literal["auto"] = Field(
        "auto", description="training workers of a stage; auto: one per GPU, without GPUs two (one on a single core)"
    )
    min_workers: PositiveInt | None = Field(
        None,
        description="with max_workers: training continues with fewer workers when machines leave, with more when some join",
    )
    max_workers: PositiveInt | None = Field(None, description="see min_workers; takes the place of workers")
    cpus_per_worker: PositiveInt = Field(1, description="cores per training worker")
    gpus_per_worker: Annotated[float, Field(ge=0)] | Literal["auto"] = Field(
        "auto", description="GPUs per training worker; auto: one if the cluster has any"
    )
    placement: Literal["pack", "spread", "strict_pack", "strict_spread"] = Field(
        "pack",
        description="workers of a stage on few machines or on many, if possible; strict_pack: all on one; "
        "strict_spread: each on a different one",
    )
    dashboard_port: int | None = Field(None, ge=1024, le=65535, description="left out: 8265 or the next free port")
    shard_copies: str = added_later(
        "~/.cache/cosa/shards",
        description="folder on each machine, best on a disk of its own, for copies of shards that are in a bucket",
    )
    shard_copies_gigabytes: PositiveInt = added_later(
        100, description="how much these copies may take; the least recently used ones are removed"
    )
    checkpoint_storage: str | None = Field(
        None,
        description="s3://BUCKET/PREFIX?endpoint_override=HOST:PORT&scheme=http: where unfinished training saves its "
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
            raise ValueError(f"{address!r} is not an address; expected local, auto, HOST:PORT or ray://HOST:PORT")
        return address

    @model_validator(mode="after")
    def _possible(self) -> "ClusterSection":
        if (self.min_workers is None) != (self.max_workers is None):
            given, lacking = ("min_workers", "max_workers") if self.max_workers is None else ("max_workers", "min_workers")
            raise ValueError(f"{given}: set {lacking}, too, or a fixed number with workers")
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
            raise ValueError("placement: strict_spread needs a machine for each worker, but address local is one machine")
        return self


class TrackingSection(Section):
    """Where MLflow records runs."""

    uri: str | None = Field(
        None, description="http(s)://SERVER or a database's URI; left out: an sqlite file in the storage folder"
    )
    checkpoints: Literal["auto", "upload", "last", "all", "none"] = Field(
        "auto",
        description="which go to MLflow. auto: the one that a stage selects, without a second copy of it; a server gets its "
        "path and sha256; upload: a server gets it, too; last: also that of the last step; all: those of all evaluations (none "
        "is deleted before the stage ends: mind the disk); none: only path and sha256",
    )

    @property
    def is_server(self) -> bool:
        """Whether runs are recorded by a server, which stores artifacts itself."""
        return self.uri is not None and self.uri.startswith(SERVERS)

    @property
    def has_checkpoints(self) -> bool:
        """Whether the checkpoint that a stage selects goes to MLflow."""
        return self.checkpoints != "none" and not (self.checkpoints == "auto" and self.is_server)

    @field_validator("uri")
    @classmethod
    def _known_store(cls, uri: str | None) -> str | None:
        if uri is not None and not re.match(r"(https?|sqlite|postgresql|mysql|mssql|databricks)([+][a-z0-9]+)?:", uri):
            raise ValueError(
                f"{mask_passwords(uri)!r} is not a tracking store; expected http(s)://SERVER, or a database's URI (sqlite:, "
                "postgresql:, mysql:, mssql:)"
            )
        return uri


class StageSection(Section):
    """The fields that all stages have."""

    kind: str
    description: str | None = no_effect(default=None, description="a line for people")
    matrix: dict[str, list[Any]] | None = no_effect(
        default=None,
        description="one stage NAME-VALUE for every combination of values of fields, such as {dataset: [msrvtt, msvd]}; "
        "${matrix.dataset} is the value in other fields",
    )


class WorkersMixin(Section):
    """The number of workers of one stage."""

    workers: PositiveInt | None = no_effect(default=None, description="overrides cluster.workers for this stage")


class BehaviourMixin(Section):
    """Whether a stage repeats what the published code does where that is a defect (docs/deviations.md)."""

    behaviour: BehaviourName = Field("default", description="published: repeat the published code; left out: the experiment's")


class ExperimentSection(Section):
    """The top of a spec, without its stages, which are validated one by one, by kind."""

    name: Name = Field(description="name of the experiment: folder in the storage, experiment in MLflow")
    description: str | None = Field(None, description="a line for people")
    license: str | None = Field(
        None, description="licence of the models that it trains, such as cc-by-4.0, for their model cards"
    )
    profile: str | None = added_later(
        None,
        description="smoke: a run of about a minute on generated data, to see that everything fits together; `--profile smoke`",
    )
    seed: int = Field(50, ge=0, lt=2**31, description="seed of all randomness")
    behaviour: BehaviourName = Field(
        "default", description="published: repeat what the published code does where that is a defect (docs/deviations.md)"
    )
    storage: str = Field("storage", description="folder of all results")
    extensions: tuple[str, ...] = Field(
        (),
        description="Python files that register objectives, tasks, metrics, vision families, converters or kinds of stages of "
        "your own before the spec is read (docs/extending.md); relative to the spec",
    )
    paths: dict[Key, str] = Field(default_factory=dict, description="names for ${paths.NAME} in other fields")
    model: ModelConfig = Field(
        default_factory=ModelConfig, description="the model of stages that do not start from a checkpoint"
    )
    datasets: dict[Key, DatasetSection] = Field(default_factory=dict, description="datasets by name")
    cluster: ClusterSection = Field(default_factory=ClusterSection, description="where stages run")
    tracking: TrackingSection = Field(default_factory=TrackingSection, description="where runs are recorded")
    on_finish: Annotated[str | None, AfterValidator(checked_notice)] = no_effect(
        default=None,
        description="a command, or an address (http, https), that is notified when a run has finished; ${env:NAME} hides one",
    )
    on_failure: Annotated[str | None, AfterValidator(checked_notice)] = no_effect(
        default=None, description="the same for a run that failed, or was interrupted"
    )
