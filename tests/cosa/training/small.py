"""A small trainer without randomness beside that of the objectives, so that two ways to compute a step can be compared."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from cosa.data.batches import Corpus
from cosa.data.sample import Sample
from cosa.objectives.all_objectives import batch_needs, settings_of
from cosa.section import with_fields
from cosa.tasks.all_tasks import EvaluationSettings
from cosa.training.building import build_model, build_trainer
from cosa.training.loop import Trainer
from cosa.training.meter import LogRecord
from cosa.training.sharding import full_weights
from cosa.training.training_settings import TrainingSettings
from tests.support import CAPTIONS, random_clips, tiny_config

CPU = torch.device("cpu")
LIMITS = {"max_text_tokens": 16, "max_answer_tokens": 12}
SPEED = ("samples_per_second", "data_wait_share")


class Settings(TrainingSettings, EvaluationSettings):
    """Self-critical training generates captions as evaluation does."""


def small_trainer(
    *objectives: tuple[str, ...],
    family: str = "swin",
    dropout: float = 0.0,
    batch_size: int = 4,
    steps: int = 4,
    seed: int = 0,
    concatenate: int = 2,
    mixing: str = "proportional",
    checkpointing: bool = False,
    ema_decay: float | None = None,
    **loop: Any,
) -> Trainer:
    """One corpus a set of objectives; no stochastic depth. Answers are of different lengths, as captions are."""
    config = tiny_config(family, dropout=dropout)
    vision = config.vision.model_copy(update={"drop_path_rate": 0.0})
    own = settings_of(name for names in objectives for name in names)
    settings = with_fields(Settings, *own).model_validate(
        {
            "learning_rate": 1e-3,
            "ema_decay": ema_decay,
            "gradient_checkpointing": checkpointing,
            **LIMITS,
            "log_every": 1,
            **loop,
        }
    )
    samples = [
        Sample(f"clip{i}", caption=text, question=text, answer=CAPTIONS[len(CAPTIONS) - 1 - i])
        for i, text in enumerate(CAPTIONS)
    ]
    corpora = [
        Corpus(f"corpus{i}", samples, random_clips, names, steps, batch_size, batch_needs(names))
        for i, names in enumerate(objectives)
    ]
    model = build_model(settings, config=config.model_copy(update={"vision": vision}), seed=seed)
    return build_trainer(model, corpora, settings, device=CPU, seed=5, concatenate=concatenate, mixing=mixing)


def records_of(trainer: Trainer) -> dict[int, LogRecord]:
    """Train to the end; records without speed."""
    found: dict[int, LogRecord] = {}
    trainer.run(lambda step, record: found.update({step: record}), lambda _: None)
    return {step: {name: value for name, value in record.items() if name not in SPEED} for step, record in found.items()}


def weights_of(trainer: Trainer) -> dict[str, Tensor]:
    """All weights, put together."""
    model = trainer.losses.model
    return {name: weight.clone() for name, weight in full_weights(model, model.state_dict())}


def assert_same_training(
    found: tuple[dict[int, LogRecord], dict[str, Tensor]],
    expected: tuple[dict[int, LogRecord], dict[str, Tensor]],
    *,
    losses: float = 1e-5,
    weights: float = 2e-5,
) -> None:
    """Records to a relative tolerance; weights to an absolute one: a step moves each by up to 1e-3."""
    assert found[0].keys() == expected[0].keys()
    for step, record in expected[0].items():
        assert found[0][step] == pytest.approx(record, rel=losses)
    assert found[1].keys() == expected[1].keys()
    for name, value in expected[1].items():
        torch.testing.assert_close(found[1][name], value, rtol=0, atol=weights, msg=lambda text, name=name: f"{name}: {text}")
