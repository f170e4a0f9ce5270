"""How Ray workers build a trainer or an evaluator from a job: plain data in, pure PyTorch inside, also without Ray."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import BaseModel

from cosa.behaviour import BEHAVIOURS, DEFAULT, Behaviour
from cosa.checkpoints.loading import load_model
from cosa.data.batches import Corpus, Sample, TrainingBatches
from cosa.data.clip_settings import ClipSettings
from cosa.data.clips import ClipReader
from cosa.data.dataset_files import DatasetFiles, caption_entries, caption_references, evaluated_clips, question_entries
from cosa.distributed import rank, world_size
from cosa.evaluation.answer_generation import evaluate_question_answering
from cosa.evaluation.caption_generation import evaluate_captioning
from cosa.evaluation.evaluation_result import EvaluationResult
from cosa.evaluation.evaluation_settings import EvaluationSettings
from cosa.evaluation.video_ranking import evaluate_retrieval
from cosa.model import COSA
from cosa.model_config import ModelConfig
from cosa.objectives.all_objectives import batch_needs, heads_of
from cosa.objectives.objective_settings import ObjectiveSettings
from cosa.objectives.preparation import prepare
from cosa.training.freezing import freeze_unused
from cosa.training.loop import Trainer
from cosa.training.losses import StepLosses
from cosa.training.optimizer import build_optimizer
from cosa.training.sharding import shard
from cosa.training.training_settings import LoopSettings, OptimizerSettings
from workflows.spec.lengths import refuse_long_texts
from workflows.spec.sections import (
    TASK_METRIC,
    TASK_OBJECTIVES,
    EvaluateSection,
    FinetuneSection,
    PretrainSection,
)
from workflows.training.job import Job

Settings = TypeVar("Settings", bound=BaseModel)


def part(settings: type[Settings], section: Any) -> Settings:
    """The part of a section that belongs to one component."""
    return settings(**{name: getattr(section, name) for name in settings.model_fields})


# -- data -------------------------------------------------------------------------------------------------------------


def clip_reader(
    dataset: DatasetFiles,
    settings: ClipSettings,
    resolution: int,
    *,
    training: bool,
    cache_megabytes: int = 256,
    behaviour: Behaviour = DEFAULT,
) -> ClipReader:
    """Reader of a dataset's frames for training or evaluation."""
    folder = dataset.frames if dataset.media == "video" else dataset.root
    assert folder is not None
    frames = settings.train_frames if training else settings.frames_in_evaluation
    return ClipReader(
        Path(folder),
        media=dataset.media,
        frames=frames if dataset.media == "video" else 1,
        resolution=resolution,
        transforms=settings.transforms,
        training=training,
        cache_megabytes=cache_megabytes,
        antialias=behaviour.antialias,
    )


def caption_samples(dataset: DatasetFiles, split: str) -> list[Sample]:
    """One sample a caption of a split."""
    entries = caption_entries(dataset, split)
    return [Sample(entry.video_id, caption=caption) for entry in entries for caption in entry.captions]


def question_samples(dataset: DatasetFiles, split: str) -> list[Sample]:
    """One sample a question of a split, with its first answer."""
    return [
        Sample(entry.video_id, question=entry.question, answer=entry.answers[0]) for entry in question_entries(dataset, split)
    ]


# -- training ---------------------------------------------------------------------------------------------------------


def corpora_of(job: Job, section: PretrainSection | FinetuneSection, resolution: int) -> list[Corpus]:
    """What a stage trains on."""
    behaviour = BEHAVIOURS[section.behaviour]
    if isinstance(section, PretrainSection):
        return [
            Corpus(
                name=f"{corpus.dataset}/{corpus.split}",
                samples=caption_samples(job.datasets[corpus.dataset], corpus.split),
                clips=clip_reader(job.datasets[corpus.dataset], section, resolution, training=True, behaviour=behaviour),
                objectives=tuple(corpus.objectives),
                steps=corpus.steps,
                batch_size=corpus.batch_size,
                needs=batch_needs(corpus.objectives),
            )
            for corpus in section.corpora
        ]
    dataset = job.datasets[section.dataset]
    make = question_samples if section.task == "question_answering" else caption_samples
    samples = make(dataset, section.train_split)
    steps = max(1, round(len(samples) // section.batch_size * section.epochs))
    objectives = ("scst",) if section.self_critical else TASK_OBJECTIVES[section.task]
    return [
        Corpus(
            name=f"{section.dataset}/{section.train_split}",
            samples=samples,
            clips=clip_reader(dataset, section, resolution, training=True, behaviour=behaviour),
            objectives=objectives,
            steps=steps,
            batch_size=section.batch_size,
            needs=batch_needs(objectives),
        )
    ]


def build_model(job: Job, section: PretrainSection | FinetuneSection) -> COSA:
    """The model that training starts from: a checkpoint's, or a new one of the model section. Weights are seeded, also those of
    heads that are added next."""
    joined = section.concatenate if isinstance(section, PretrainSection) else 1
    positions = section.train_frames * joined
    torch.manual_seed(job.seed)
    if job.checkpoint is not None:
        return load_model(Path(job.checkpoint), resolution=section.resolution, frame_positions=positions)
    config = ModelConfig.model_validate(job.model)
    vision = config.vision.model_copy(update={"resolution": section.resolution or config.vision.resolution})
    return COSA(config.model_copy(update={"vision": vision, "frame_positions": config.frame_positions or positions}))


def build_trainer(job: Job, device: torch.device) -> Trainer:
    """Model, data and optimizer of a training stage on this worker."""
    section = job.parsed()
    assert isinstance(section, PretrainSection | FinetuneSection)
    behaviour = BEHAVIOURS[section.behaviour]
    model = build_model(job, section)
    refuse_long_texts(section, model.config.text.max_position_embeddings)
    corpora = corpora_of(job, section, model.config.vision.resolution)
    objectives = {name for corpus in corpora for name in corpus.objectives}
    model.add_heads(heads_of(sorted(objectives)))
    for corpus in corpora:
        corpus.clips.check(sample.media_id for sample in corpus.samples)
    batches = TrainingBatches(
        corpora,
        model.tokenizer,
        seed=job.seed,
        concatenate=section.concatenate if isinstance(section, PretrainSection) else 1,
        max_text_tokens=section.max_text_tokens,
        max_answer_tokens=section.max_answer_tokens,
        rank=rank(),
        workers=world_size(),
        behaviour=behaviour,
    )
    freeze_unused(model, objectives)
    model.set_gradient_checkpointing(section.gradient_checkpointing)
    model.to(device)
    if section.compile:
        model.compile_encoders()
    objective_settings = part(ObjectiveSettings, section)
    losses = StepLosses(
        model,
        objective_settings,
        prepared=prepare(corpora, model.tokenizer, objective_settings, _evaluation(section), behaviour),
        behaviour=behaviour,
    )
    if section.sharding == "fsdp" and world_size() > 1:
        shard(losses, device)
    optimizer_settings = part(OptimizerSettings, section)
    return Trainer(
        losses=losses,
        optimizer=build_optimizer(model, optimizer_settings, behaviour),
        batches=batches,
        optimizer_settings=optimizer_settings,
        loop_settings=part(LoopSettings, section),
        seed=job.seed,
        device=device,
    )


def _evaluation(section: PretrainSection | FinetuneSection) -> EvaluationSettings:
    """How captions are generated in training: as they are in evaluation."""
    return part(EvaluationSettings, section) if isinstance(section, FinetuneSection) else EvaluationSettings()


# -- evaluation -------------------------------------------------------------------------------------------------------


class Evaluator:
    """Evaluates tasks on one split; annotations are read once however often it is called."""

    def __init__(self, job: Job, dataset: str, split: str, resolution: int, device: torch.device):
        section = job.parsed()
        assert isinstance(section, FinetuneSection | EvaluateSection)
        self.dataset, self.split, self.device = job.datasets[dataset], split, device
        self.clips = part(ClipSettings, section)
        self.settings = part(EvaluationSettings, section)
        self.submission = isinstance(section, EvaluateSection) and section.submission
        self.behaviour = BEHAVIOURS[section.behaviour]
        self.reader = clip_reader(self.dataset, self.clips, resolution, training=False, behaviour=self.behaviour)
        self._cached: dict[str, Any] = {}

    def _read(self, name: str, function: Any) -> Any:
        if name not in self._cached:
            self._cached[name] = function()
        return self._cached[name]

    def run(self, model: COSA, task: str, caption_metrics: tuple[str, ...] | None = None) -> EvaluationResult:
        """Evaluate one task; `caption_metrics` replaces the section's choice (validation leaves out the slow ones)."""
        if task == "retrieval":
            entries = self._read("entries", partial(evaluated_clips, self.dataset, self.split))
            self.reader.check(entry.video_id for entry in entries)
            return evaluate_retrieval(
                model, entries, self.reader, self.settings, self.clips.max_text_tokens, self.device, self.behaviour
            )
        if task == "captioning":
            references = self._read("references", partial(caption_references, self.dataset, self.split))
            self.reader.check(references)
            return evaluate_captioning(model, references, self.reader, self.settings, self.device, caption_metrics)
        read_questions = partial(question_entries, self.dataset, self.split, require_answers=not self.submission)
        questions = self._read("questions", read_questions)
        self.reader.check(question.video_id for question in questions)
        return evaluate_question_answering(
            model, questions, self.reader, self.settings, self.clips, self.device, self.behaviour
        )


def validate(evaluator: Evaluator, model: COSA, task: str) -> dict[str, float]:
    """Metrics on the validation split. Captions are compared by CIDEr and BLEU-4 only: METEOR takes many seconds."""
    metrics = evaluator.run(model, task, ("bleu4", "cider")).metrics
    assert TASK_METRIC[task] in metrics
    return metrics
