"""Text-to-video retrieval: rank the clips of a split for every caption (paper, section 4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PositiveInt

from cosa.data.annotation_use import AnnotationUse
from cosa.evaluation.metric import Metric
from cosa.section import added_later
from cosa.tasks.shown import Ranked, Shown
from cosa.tasks.task import Baseline, Task, TaskSettings, TextLength

if TYPE_CHECKING:
    import torch

    from cosa.behaviour import Behaviour
    from cosa.data.annotations import CaptionEntry
    from cosa.data.batches import ClipSource
    from cosa.data.dataset_files import DatasetFiles
    from cosa.data.sample import Sample
    from cosa.evaluation.evaluation_result import EvaluationResult
    from cosa.evaluation.sample_scores import SampleScores
    from cosa.model import COSA


def _metrics_of(direction: str, label: str) -> tuple[Metric, ...]:
    recalls = [Metric(f"{direction}_r{k}", f"{label} R@{k}") for k in (1, 5, 10)]
    ranks = [Metric(f"{direction}_{rank}_rank", f"{label} {rank} rank", lower_is_better=True) for rank in ("median", "mean")]
    return (*recalls, Metric(f"{direction}_mean_r"), *ranks)


TEXT_TO_VIDEO = _metrics_of("text_to_video", "text-to-video")
VIDEO_TO_TEXT = _metrics_of("video_to_text", "video-to-text")
CONTRASTIVE = tuple(Metric(f"contrastive_text_to_video_r{k}", f"text-to-video R@{k} before re-ranking") for k in (1, 5))
QUERY_RANK = Metric("text_to_video_rank", "rank", lower_is_better=True, digits=0)  # of one query


class RetrievalSettings(TaskSettings):
    """How retrieval is evaluated (published defaults)."""

    rerank: PositiveInt = Field(50, description="videos of every text that matching re-scores")
    video_to_text: bool = Field(False, description="also rank texts for every video")
    dual_softmax: bool = added_later(
        False, description="multiply similarities by their softmax over all queries of the split, before re-ranking"
    )
    gallery: Literal["split", "folder"] = added_later(
        "split",
        description="rank a caption among all clips of the split, or among those in the folder of its own clip: those whose "
        "identifiers have the same beginning, up to the last slash",
    )


def galleries_of(entries: Sequence[CaptionEntry], settings: RetrievalSettings) -> list[int] | None:
    """The number of each clip's gallery; None if all are in one."""
    if settings.gallery == "split":
        return None
    folders = [entry.video_id.rpartition("/")[0] for entry in entries]
    numbers = {folder: number for number, folder in enumerate(dict.fromkeys(folders))}
    return [numbers[folder] for folder in folders]


class Retrieval(Task[RetrievalSettings]):
    """Contrastive similarity ranks all videos, matching re-ranks the best."""

    name = "retrieval"
    annotations = "captions"
    # Tables keep this order: each recall stands above what it was before re-ranking, so that a reader sees what that does.
    metrics = (TEXT_TO_VIDEO[0], CONTRASTIVE[0], TEXT_TO_VIDEO[1], CONTRASTIVE[1], *TEXT_TO_VIDEO[2:], *VIDEO_TO_TEXT)
    main_metric = "text_to_video_r1"
    settings = RetrievalSettings
    example_call = 'model.match(["a man sings"], ["clip.mp4"])'
    example_command = "cosa index CLIPS --out clips.index"
    pipeline = "video-to-text"

    def objectives(self, settings: RetrievalSettings) -> tuple[str, ...]:
        """Contrastive and matching."""
        del settings
        return ("itc", "itm")

    def samples(self, dataset: DatasetFiles, split: str) -> Sequence[Sample]:
        """One sample a caption."""
        from cosa.data.dataset_files import caption_samples

        return caption_samples(dataset, split)

    def validation_metrics(self, settings: RetrievalSettings) -> tuple[str, ...]:
        """All that are computed: they come together."""
        left_out = {*(() if settings.video_to_text else VIDEO_TO_TEXT), *(CONTRASTIVE if settings.rerank == 1 else ())}
        return tuple(metric.name for metric in self.metrics if metric not in left_out)

    def why_left_out(self, metric: str, settings: RetrievalSettings) -> str | None:
        """The other direction has to be asked for, and one candidate alone is not re-ranked."""
        if metric in self.validation_metrics(settings):
            return None
        reasons = {metric.name: "video_to_text: true" for metric in VIDEO_TO_TEXT}
        reasons |= {metric.name: "rerank of at least 2" for metric in CONTRASTIVE}
        return f"{metric} is only computed with {reasons[metric]}" if metric in reasons else None

    def evaluated_annotations(self, settings: RetrievalSettings, split: str) -> tuple[AnnotationUse, ...]:
        """The split's captions."""
        del settings
        return (AnnotationUse(split, "captions", evaluated=True),)

    def baseline_annotations(self, settings: RetrievalSettings, split: str) -> tuple[AnnotationUse, ...]:
        """Chance needs none."""
        del settings, split
        return ()

    def text_lengths(self, settings: RetrievalSettings) -> Iterator[TextLength]:
        """Captions are cut to `max_text_tokens`, as in training."""
        yield TextLength("max_text_tokens", settings.max_text_tokens, "a text")

    def references(self, dataset: DatasetFiles, split: str, settings: RetrievalSettings) -> list[CaptionEntry]:
        """Clips with all their captions."""
        from cosa.data.dataset_files import evaluated_clips

        del settings
        return evaluated_clips(dataset, split)

    def media_ids(self, references: list[CaptionEntry]) -> list[str]:
        """The gallery."""
        return [entry.video_id for entry in references]

    def texts(self, references: list[CaptionEntry]) -> str:
        """The queries."""
        return f"{sum(len(entry.captions) for entry in references)} queries"

    def evaluate(
        self,
        model: COSA,
        references: list[CaptionEntry],
        clips: ClipSource,
        settings: RetrievalSettings,
        *,
        device: torch.device,
        behaviour: Behaviour,
        metrics: Sequence[str] | None = None,
    ) -> EvaluationResult:
        """Rank all clips for every caption; see `evaluate_retrieval`."""
        from cosa.evaluation.video_ranking import evaluate_retrieval

        del metrics  # they come together
        return evaluate_retrieval(
            model,
            references,
            clips,
            rerank=settings.rerank,
            video_to_text=settings.video_to_text,
            dual_softmax=settings.dual_softmax,
            galleries=galleries_of(references, settings),
            batch_size=settings.eval_batch_size,
            max_text_tokens=settings.max_text_tokens,
            device=device,
            behaviour=behaviour,
        )

    def sample_scores(self, result: EvaluationResult) -> SampleScores | None:
        """Ranks and recalls of every caption; the other direction's stand in the row of a clip's first caption."""
        from cosa.evaluation.query_scores import query_scores

        return query_scores(result.predictions, result.scores)

    def baseline(self, dataset: DatasetFiles, split: str, baseline_split: str, settings: RetrievalSettings) -> Baseline:
        """Recalls and ranks of a random order."""
        from cosa.evaluation.retrieval_metrics import retrieval_chance, video_to_text_chance

        del baseline_split
        entries = self.references(dataset, split, settings)
        galleries = galleries_of(entries, settings) or [0] * len(entries)
        sizes = Counter(galleries)
        metrics = retrieval_chance([sizes[one] for one, entry in zip(galleries, entries, strict=True) for _ in entry.captions])
        if settings.video_to_text:
            metrics |= video_to_text_chance([len(entry.captions) for entry in entries])
        return Baseline(metrics, "chance")

    def example(self, prediction: Mapping[str, Any]) -> str:
        """Its text, and where its clip stands."""
        own, ranked = prediction["video_id"], prediction["ranked"]
        place = f"{own} is number {ranked.index(own) + 1}" if own in ranked else f"{own} is not among the first {len(ranked)}"
        first = "" if ranked[0] == own else f", {ranked[0]} is first"
        return f"{prediction['text']}: {place}{first}"

    def shown(self, prediction: Mapping[str, Any]) -> Shown:
        """The query and the first clips."""
        own = prediction["video_id"]
        best = zip(prediction["ranked"], prediction["scores"], strict=True)
        return Shown(own, asked=prediction["text"], ranked=[Ranked(name, score, name == own) for name, score in best])

    def judged_by(self, scores: SampleScores) -> Metric | None:
        """The rank of the right clip."""
        del scores
        return QUERY_RANK

    def summary(self, metrics: Mapping[str, float]) -> str:
        """R@1 and R@5, and what R@1 was before re-ranking if anything was re-ranked."""
        first = f"R@1 {metrics['text_to_video_r1']:.1f}"
        if (before := metrics.get("contrastive_text_to_video_r1")) is not None:
            first += f" ({before:.1f} before re-ranking)"
        return f"{first}, R@5 {metrics['text_to_video_r5']:.1f}"

    def pictures(self, dataset: DatasetFiles, predictions: Sequence[Mapping[str, Any]], folder: Path, title: str) -> list[Path]:
        """retrieved.png: some queries with the frames of the clips that were ranked best."""
        from cosa.tasks.retrieved_picture import draw_retrieved

        path = folder / "retrieved.png"
        draw_retrieved(dataset, predictions, path, f"{title}: clips retrieved for texts of {dataset.name}")
        return [path]
