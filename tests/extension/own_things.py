"""One of everything that can be added, as a user's own file: `extensions: [own_things.py]`. No product file names it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from cosa.data.annotation_use import AnnotationUse
from cosa.data.dataset_files import caption_entries, caption_samples, evaluated_clips
from cosa.encoders.plain_vit import PlainVit
from cosa.encoders.vision_families import VISION_FAMILIES
from cosa.evaluation.all_caption_metrics import CAPTION_METRICS, CaptionMetric
from cosa.evaluation.caption_scorers.scorer import CaptionScorer, TokenizedCaptions
from cosa.evaluation.evaluation_result import EvaluationResult
from cosa.evaluation.metric import Metric
from cosa.evaluation.sample_scores import SampleScores
from cosa.model_parts import POOLING, VISION
from cosa.objectives.all_objectives import OBJECTIVES
from cosa.objectives.objective import Head, Objective
from cosa.objectives.pending import Pending
from cosa.section import Section
from cosa.tasks.all_tasks import TASKS
from cosa.tasks.task import Baseline, Task, TaskSettings, TextLength
from workflows.records.outcome import StageOutcome
from workflows.spec.read import Read
from workflows.spec.reads import AnnotationsRead, FileRead, MediaRead, ResultRead
from workflows.spec.sections import DatasetSection, StageSection
from workflows.spec.stage_kind import StageKind
from workflows.spec.stage_kinds import STAGE_KINDS

# -- an objective with a head of its own: how many tokens has the caption? ----------------------------------------------


class LengthHead(nn.Module):
    """Predicts the length of a caption from its video."""

    def __init__(self, vision_dim: int):
        super().__init__()
        self.linear = nn.Linear(vision_dim, 1)

    def forward(self, pooled: Tensor) -> Tensor:
        """(videos, frames, vision_dim) to (videos,)."""
        return self.linear(pooled.mean(1))[:, 0]


def length_head(model: Any) -> LengthHead:
    return LengthHead(model.vision.output_dim)


class LengthSettings(Section):
    length_weight: float = Field(1.0, gt=0, description="weight of the loss")


def length_loss(batch: Any, settings: Any, draws: Any) -> Pending:
    lengths = batch.model.not_padding(batch.ids).sum(1).float()  # (rows,)
    loss = F.mse_loss(batch.model.heads["length"](batch.videos.pooled), lengths)
    return Pending([], lambda _: settings.length_weight * loss)


OBJECTIVES["length"] = Objective(
    title="length of the caption",
    loss=f"{__name__}:length_loss",
    reaches=(VISION, POOLING),
    settings=LengthSettings,
    head=Head(f"{__name__}:length_head", may_be_frozen=True),
)


# -- a caption metric ----------------------------------------------------------------------------------------------------


class WordScorer(CaptionScorer):
    def score(self, predictions: TokenizedCaptions, references: TokenizedCaptions) -> Mapping[str, float]:
        """How many of the references' first words the predictions have."""
        right = [references[key][0].split()[0] in predictions[key][0].split() for key in references]
        return {"first_word": sum(right) / len(right)}


CAPTION_METRICS["first_word"] = CaptionMetric("first word", f"{__name__}:WordScorer")


# -- a task: how long is the caption? --------------------------------------------------------------------------------------


class CountingSettings(TaskSettings, LengthSettings):
    tolerance: int = Field(2, ge=0, description="tokens that a predicted length may be off")


class Counting(Task[CountingSettings]):
    """Uses the head of the objective above."""

    name = "counting"
    annotations = "captions"
    metrics = (Metric("count_accuracy", "counting accuracy"), Metric("count_error", lower_is_better=True))
    main_metric = "count_accuracy"
    settings = CountingSettings

    def objectives(self, settings: CountingSettings) -> tuple[str, ...]:
        return ("length",)

    def samples(self, dataset: Any, split: str) -> Any:
        return caption_samples(dataset, split)

    def validation_metrics(self, settings: CountingSettings) -> tuple[str, ...]:
        return ("count_accuracy", "count_error")

    def evaluated_annotations(self, settings: CountingSettings, split: str) -> tuple[AnnotationUse, ...]:
        return (AnnotationUse(split, "captions", evaluated=True),)

    def baseline_annotations(self, settings: CountingSettings, split: str) -> tuple[AnnotationUse, ...]:
        return ()

    def text_lengths(self, settings: CountingSettings) -> Iterator[TextLength]:
        yield TextLength("max_text_tokens", settings.max_text_tokens, "a text")

    def references(self, dataset: Any, split: str, settings: CountingSettings) -> Any:
        return evaluated_clips(dataset, split)

    def media_ids(self, references: Any) -> list[str]:
        return [entry.video_id for entry in references]

    def evaluate(
        self, model: Any, references: Any, clips: Any, settings: CountingSettings, *, device: Any, behaviour: Any,
        metrics: Sequence[str] | None = None,
    ) -> EvaluationResult:  # fmt: skip
        predictions = []
        for entry in references:
            features = model.encode_video(clips(entry.video_id, None)[None].to(device))
            found = float(model.heads["length"](features.pooled))
            right = len(model.tokenizer.ids(entry.captions[0])) + 2
            predictions.append({"video_id": entry.video_id, "length": found, "right": right})
        errors = [abs(row["length"] - row["right"]) for row in predictions]
        accuracy = 100.0 * sum(error <= settings.tolerance for error in errors) / len(errors)
        right = np.array([100.0 * (error <= settings.tolerance) for error in errors])
        own = {"count_accuracy": right, "count_error": np.array(errors)}
        return EvaluationResult({"count_accuracy": accuracy, "count_error": sum(errors) / len(errors)}, predictions, own)

    def sample_scores(self, result: EvaluationResult) -> SampleScores:
        clips = [row["video_id"] for row in result.predictions]
        return SampleScores(clips, clips, {}, result.scores)

    def baseline(self, dataset: Any, split: str, baseline_split: str, settings: CountingSettings) -> Baseline:
        return Baseline({"count_accuracy": 0.0}, "never right")

    def summary(self, metrics: Mapping[str, float]) -> str:
        return f"counts {metrics['count_accuracy']:.0f} % right"


TASKS["counting"] = Counting()


# -- a kind of stage that reads a dataset, a file and the result of another stage ----------------------------------------------


class ReportSection(StageSection):
    """Write metrics of a stage below a heading, and how much a split holds."""

    kind: Literal["report"]
    of: str = Field(description="a stage")
    heading: str = Field(description="a text file")
    dataset: str = Field(description="a dataset")
    split: str = Field(description="one of its splits")


class Report(StageKind[ReportSection]):
    """Reads what it lists, nothing else."""

    name = "report"
    section = ReportSection
    version = 1
    is_seeded = False

    def reads(self, section: ReportSection, datasets: Mapping[str, DatasetSection]) -> Iterable[Read]:
        yield ResultRead(("of",), section.of)
        yield FileRead(("heading",), section.heading)
        yield MediaRead(("dataset",), section.dataset)
        yield AnnotationsRead(("split",), section.dataset, AnnotationUse(section.split, "captions"))

    def run(self, context: Any) -> StageOutcome:
        heading = Path(context.section.heading).read_text(encoding="utf-8").strip()
        manifest = json.loads((context.result_of(context.section.of) / "manifest.json").read_text(encoding="utf-8"))
        text = "\n".join([heading, *(f"{name} {value:.2f}" for name, value in sorted(manifest["metrics"].items()))])
        entries = caption_entries(context.dataset(context.section.dataset), context.section.split)
        text += f"\n{len(entries)} clips, {sum(len(entry.captions) for entry in entries)} captions"
        (context.folder / "report.txt").write_text(text + "\n", encoding="utf-8")
        return StageOutcome(f"{len(manifest['metrics'])} metrics", outputs={"report": "report.txt"})


STAGE_KINDS.register(Report())


# -- a family of image encoders ----------------------------------------------------------------------------------------------


class Deit(PlainVit):
    """timm's DeiT III, whose names are not those of the plain vision transformers."""

    title = "DeiT III"
    names = ("deit3_*",)
    example = "deit3_small_patch16_224"


VISION_FAMILIES["deit3"] = Deit()
