"""From settings and data to a trainer: the one place where model, batches, losses and optimizer are put together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from cosa.behaviour import DEFAULT, Behaviour
from cosa.checkpoints.loading import load_model
from cosa.checkpoints.new_model import new_model
from cosa.data.batches import Corpus, TrainingBatches
from cosa.data.clip_settings import ClipSettings
from cosa.data.clips import ClipReader
from cosa.data.dataset_files import DatasetFiles
from cosa.data.order import shuffle_of
from cosa.data.order_settings import OrderSettings
from cosa.data.sample import Sample
from cosa.data.samples import Samples
from cosa.distributed import rank, world_size
from cosa.errors import UserError
from cosa.model import COSA
from cosa.model_config import ModelConfig
from cosa.objectives.all_objectives import OBJECTIVES, batch_needs, heads_of
from cosa.objectives.heads import add_heads
from cosa.objectives.preparation import prepare
from cosa.tasks.task import Task, TaskSettings
from cosa.training.freezing import freeze_unused
from cosa.training.loop import Trainer
from cosa.training.losses import StepLosses
from cosa.training.optimizer import build_optimizer
from cosa.training.sharding import shard
from cosa.training.training_settings import TrainingSettings


def corpus_of(
    dataset: DatasetFiles,
    split: str,
    samples: Sequence[Sample],
    objectives: Sequence[str],
    settings: ClipSettings,
    *,
    steps: int,
    batch_size: int,
    resolution: int,
    behaviour: Behaviour = DEFAULT,
    order: OrderSettings | None = None,
) -> Corpus:
    """Samples of a split as a corpus to train on.

    Args:
        dataset: where its pictures are.
        split: its name, for messages.
        samples: of the split.
        objectives: whose losses are summed up.
        settings: what of a clip the model sees.
        steps: that draw from this corpus.
        batch_size: samples a step over all workers.
        resolution: side of the model's input image, pixels.
        behaviour: how images are shrunk.
        order: how samples are shuffled; None leaves it to the dataset.

    Raises:
        UserError: they cannot be shuffled so.
        DataError: the index of shards is missing or damaged.
    """
    clips = ClipReader.of(dataset, settings, resolution, training=True, behaviour=behaviour)
    name = f"{dataset.name}/{split}"
    table = Samples.of(samples)
    shuffle = shuffle_of(order or OrderSettings(), table.shard_sizes, name)
    return Corpus(name, table, clips, tuple(objectives), steps, batch_size, batch_needs(objectives), shuffle)


def finetuning_corpus(
    task: Task[Any],
    dataset: DatasetFiles,
    split: str,
    settings: TaskSettings,
    *,
    epochs: float,
    batch_size: int,
    resolution: int,
    behaviour: Behaviour = DEFAULT,
    order: OrderSettings | None = None,
) -> Corpus:
    """A split with a task's samples and objectives, for so many passes over it; arguments as of `corpus_of`."""
    samples = task.samples(dataset, split)
    return corpus_of(
        dataset,
        split,
        samples,
        task.objectives(settings),
        settings,
        steps=max(1, round(len(samples) // batch_size * epochs)),
        batch_size=batch_size,
        resolution=resolution,
        behaviour=behaviour,
        order=order,
    )


def build_model(
    settings: ClipSettings,
    *,
    checkpoint: Path | None = None,
    config: ModelConfig | None = None,
    frame_positions: int | None = None,
    seed: int = 0,
) -> COSA:
    """The model that a training starts from, on the CPU: a checkpoint's, or a new one.

    Args:
        settings: frames of a sample, and the resolution if it is not the model's own.
        checkpoint: ours or a published one.
        config: of a new model; its random weights follow from the seed.
        frame_positions: frame embeddings: the frames of a sample, times the samples that are joined into one; left out:
            train_frames.
        seed: of random weights.

    Raises:
        UserError: the checkpoint, or pretrained weights, cannot be used.
        ValueError: neither checkpoint nor config, or both.
    """
    if (checkpoint is None) == (config is None):
        raise ValueError("a model starts from a checkpoint or from a configuration; give one of them")
    positions = frame_positions or settings.train_frames
    if checkpoint is not None:
        return load_model(checkpoint, resolution=settings.resolution, frame_positions=positions)
    assert config is not None
    vision = config.vision.model_copy(update={"resolution": settings.resolution or config.vision.resolution})
    config = config.model_copy(update={"vision": vision, "frame_positions": config.frame_positions or positions})
    return new_model(config, seed=seed)


def build_trainer(
    model: COSA,
    corpora: Sequence[Corpus],
    settings: TrainingSettings,
    *,
    device: torch.device,
    seed: int = 0,
    concatenate: int = 1,
    mixing: str = "proportional",
    behaviour: Behaviour = DEFAULT,
) -> Trainer:
    """A trainer of this worker; every worker builds the same.

    Args:
        model: on any device; it gets the heads of its objectives, is moved and, if settings say so, sharded.
        corpora: what is trained on; missing clips are found here.
        settings: of optimizer, loop, input and objectives.
        device: to train on.
        seed: of everything that is drawn.
        concatenate: samples that are joined into one, where objectives ask for it.
        mixing: how corpora take turns, a name in `MIXINGS`.
        behaviour: ours, or the published one.

    Raises:
        DataError: clips are missing, or a corpus is smaller than a batch.
        UserError: the settings cannot be had on this machine, or a batch is too small for an objective.
    """
    for corpus in corpora:
        _check_settings(corpus, settings)
        _check_batch(corpus, concatenate)
        corpus.clips.check(corpus.table.media_ids())
    batches = TrainingBatches(
        corpora,
        model.tokenizer,
        seed=seed,
        concatenate=concatenate,
        mixing=mixing,
        max_text_tokens=settings.max_text_tokens,
        max_answer_tokens=settings.max_answer_tokens,
        rank=rank(),
        workers=world_size(),
        behaviour=behaviour,
    )
    objectives = sorted({name for corpus in corpora for name in corpus.objectives})
    torch.manual_seed(seed)  # heads that the model lacks have the same weights on all workers
    add_heads(model, heads_of(objectives))
    freeze_unused(model, objectives)
    model.set_gradient_checkpointing(settings.gradient_checkpointing)
    model.to(device)
    if settings.compile:
        model.compile_encoders()
    prepared = prepare(corpora, model.tokenizer, settings, behaviour)
    losses = StepLosses(model, settings, prepared=prepared, behaviour=behaviour)
    if settings.sharding == "fsdp" and world_size() > 1:
        shard(losses, device)
    return Trainer(
        losses=losses,
        optimizer=build_optimizer(model, settings, behaviour),
        batches=batches,
        settings=settings,
        seed=seed,
        device=device,
    )


def _check_settings(corpus: Corpus, settings: TrainingSettings) -> None:
    """Raise UserError if what is trained on a corpus has settings that are not among those given."""
    for name in corpus.objectives:
        wanted = OBJECTIVES[name].settings
        if not isinstance(settings, wanted):
            raise UserError(
                f"{corpus.name}: {name} has settings ({', '.join(wanted.model_fields)}) that {type(settings).__name__} lacks; "
                f"derive it from {wanted.__name__}, too"
            )


def _check_batch(corpus: Corpus, concatenate: int) -> None:
    """Raise UserError if batches of a corpus are too small for what is trained on them."""
    for name in corpus.objectives:
        objective = OBJECTIVES[name]
        problem = objective.batch_problem(corpus.batch_size, world_size())
        if problem is not None:
            raise UserError(f"{corpus.name}: batch_size {problem}")
        if objective.concatenated and not 2 <= concatenate <= corpus.batch_size:
            raise UserError(
                f"{corpus.name}: {name} is taken on concatenated samples, which needs concatenate of at least 2 and at most "
                f"batch_size {corpus.batch_size}, not {concatenate}"
            )
