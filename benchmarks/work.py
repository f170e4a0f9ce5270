"""What the benchmarks run: the pieces of work that the published code was timed on, for any size of model."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from cosa.data.batches import Corpus, TrainingBatches
from cosa.data.sample import Sample
from cosa.model import COSA
from cosa.model_config import ModelConfig
from cosa.objectives.all_objectives import batch_needs
from cosa.objectives.objective_settings import ObjectiveSettings
from cosa.training.freezing import freeze_unused
from cosa.training.loop import Trainer
from cosa.training.losses import StepLosses
from cosa.training.optimizer import build_optimizer
from cosa.training.training_settings import LoopSettings, OptimizerSettings

WORDS = (
    "the", "a", "man", "woman", "dog", "cat", "plays", "sings", "runs", "house", "street", "red", "blue", "ball", "water",
    "food", "hand", "game", "music", "road", "child", "girl", "boy", "car", "horse", "bird", "river", "stage", "beach", "night",
)  # fmt: skip
ANSWERS = ("a dog", "the red ball", "two", "playing music", "kitchen", "on the stage")
MAX_TEXT_TOKENS, MAX_ANSWER_TOKENS = 40, 10
BATCH = 4


@dataclass(frozen=True)
class NoiseClips:
    """A clip source: the same noise for every identifier, made once, so that nothing but the model is timed."""

    frames: int
    resolution: int
    made: dict[str, Tensor] = field(default_factory=dict)

    def __call__(self, media_id: str, generator: np.random.Generator | None) -> Tensor:  # noqa: ARG002
        """(frames, 3, resolution, resolution) uint8."""
        if media_id not in self.made:
            seed = torch.Generator().manual_seed(len(self.made))
            shape = (self.frames, 3, self.resolution, self.resolution)
            self.made[media_id] = torch.randint(0, 256, shape, dtype=torch.uint8, generator=seed)
        return self.made[media_id]

    def check(self, media_ids: Iterable[str]) -> None:
        """Nothing can be missing."""


def captions(count: int, seed: int = 0) -> list[str]:
    """Captions of 8 to 14 words."""
    drawn = np.random.default_rng(seed)
    return [" ".join(drawn.choice(WORDS, drawn.integers(8, 15))) for _ in range(count)]


def samples(count: int) -> list[Sample]:
    """Samples with captions, questions and answers."""
    return [
        Sample(f"v{i}", caption=text, question=f"what does the {text.split()[0]} do", answer=ANSWERS[i % len(ANSWERS)])
        for i, text in enumerate(captions(count))
    ]


def trainer(
    config: ModelConfig, objectives: tuple[str, ...], *, frames: int, concatenate: int, steps: int, precision: str = "float32",
    batch_size: int = BATCH, rank: int = 0, workers: int = 1,
) -> Trainer:  # fmt: skip
    """A training run on noise with random weights; dropout and stochastic depth are on as in the configuration."""
    torch.manual_seed(0)
    model = COSA(config.model_copy(update={"frame_positions": frames * concatenate}), load_pretrained=False)
    corpus = Corpus(
        "noise", samples(4 * batch_size), NoiseClips(frames, config.vision.resolution), objectives, steps, batch_size,
        batch_needs(objectives),
    )  # fmt: skip
    batches = TrainingBatches(
        [corpus], model.tokenizer, seed=0, concatenate=concatenate, max_text_tokens=MAX_TEXT_TOKENS,
        max_answer_tokens=MAX_ANSWER_TOKENS, rank=rank, workers=workers,
    )  # fmt: skip
    freeze_unused(model, objectives)
    settings = OptimizerSettings(learning_rate=1e-5)
    made = Trainer(
        losses=StepLosses(model, ObjectiveSettings()),
        optimizer=build_optimizer(model, settings),
        batches=batches,
        optimizer_settings=settings,
        loop_settings=LoopSettings(precision=precision),
        seed=0,
        device=torch.device("cpu"),
    )
    made.losses.train()
    return made


def stepper(training: Trainer) -> Callable[[], None]:
    """A call that does the next training step, its batch ready."""
    batches = [training.batches[step] for step in range(4)]

    def step() -> None:
        training.train_step(batches[training.step % len(batches)])
        training.step += 1

    return step
