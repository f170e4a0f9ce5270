"""What the benchmarks run: the pieces of work that the published code was timed on, for any size of model."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from cosa.data.batches import Corpus
from cosa.data.sample import Sample
from cosa.model_config import ModelConfig
from cosa.objectives.all_objectives import batch_needs
from cosa.training.building import build_model, build_trainer
from cosa.training.loop import Trainer
from cosa.training.training_settings import TrainingSettings

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

    def look_up(self, media_ids: Iterable[str]) -> None:
        """Nothing has to be found."""


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
    batch_size: int = BATCH,
) -> Trainer:  # fmt: skip
    """A training run on noise with random weights; dropout and stochastic depth are on as in the configuration."""
    settings = TrainingSettings.model_validate(
        {"learning_rate": 1e-5, "precision": precision, "train_frames": frames, "max_text_tokens": MAX_TEXT_TOKENS,
         "max_answer_tokens": MAX_ANSWER_TOKENS}
    )  # fmt: skip
    clips = NoiseClips(frames, config.vision.resolution)
    needs = batch_needs(objectives)
    corpus = Corpus("noise", samples(4 * batch_size), clips, objectives, steps, batch_size, needs)
    model = build_model(settings, config=config, frame_positions=settings.train_frames * concatenate)
    made = build_trainer(model, [corpus], settings, device=torch.device("cpu"), concatenate=concatenate)
    made.losses.train()
    return made


def stepper(training: Trainer) -> Callable[[], None]:
    """A call that does the next training step, its batch ready."""
    batches = [training.batches[step] for step in range(4)]

    def step() -> None:
        training.train_step(batches[training.step % len(batches)])
        training.step += 1

    return step
