"""What an objective is: all that the program asks of one. No torch here: specs are checked with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from cosa.model_parts import ModelPart, part_of_head
from cosa.section import Section

if TYPE_CHECKING:
    from torch import nn

    from cosa.draws import Draws
    from cosa.model import COSA
    from cosa.objectives.encoded_batch import EncodedBatch
    from cosa.objectives.pending import Pending


@dataclass(frozen=True)
class Fewest:
    """How few samples an objective works with.

    samples: their number, of every worker with `each_worker`, else of all together. reason: what follows "which" in a message.
    """

    samples: int
    reason: str
    each_worker: bool = False


@dataclass(frozen=True)
class Head:
    """A module that an objective brings along; it becomes `COSA.heads[<name of the objective>]`.

    build: "module:callable", which makes the module from the model that gets it: its sizes are `model.config.text.hidden_size`
    and `model.vision.output_dim`. may_be_frozen: see `ModelPart`.
    """

    build: str
    may_be_frozen: bool


@dataclass(frozen=True, kw_only=True)
class Objective:
    """One objective. Functions are named as "module:function" and imported when they are used.

    Args:
        title: what people call it.
        loss: the function `(batch: EncodedBatch, settings: <its settings>, draws: Draws) -> Pending`. With `prepare`,
            `settings` is what that made.
        reaches: parts of the model whose parameters get a gradient; the objective's own head is reached anyway.
        concatenated: it is taken on concatenated samples, in the place of the samples themselves.
        questions: its texts are questions with answers, in the place of captions.
        all_captions: it takes captions of all workers as negatives: each worker is given them, so that none has to ask.
        by_similarity: it compares texts that are encoded without videos: those of all such objectives in one pass.
        settings: the fields of a stage that configure it. A corpus of pretraining brings them along; the settings of a task
            have to be derived from those of its objectives.
        masks: the field of its settings that says which share of tokens it masks.
        divisible: it is a mean over masked tokens of samples that know nothing of each other, so that a batch may run in
            parts, one after the other.
        generates: it generates texts in training, which does not work with sharded weights.
        fewest: how few samples it works with; any number if left out.
        finetuning_only: a finetuning task chooses it; a corpus of pretraining cannot name it.
        prepare: a function `(preparation: Preparation) -> Any`, called once before training (see preparation.py).
        head: a head of its own.
    """

    title: str
    loss: str
    reaches: tuple[ModelPart, ...]
    concatenated: bool = False
    questions: bool = False
    all_captions: bool = False
    by_similarity: bool = False
    settings: type[Section] = Section
    masks: str | None = None
    divisible: bool = False
    generates: bool = False
    fewest: Fewest | None = None
    finetuning_only: bool = False
    prepare: str | None = None
    head: Head | None = None

    def __post_init__(self) -> None:
        if self.masks is not None and self.masks not in self.settings.model_fields:
            raise ValueError(f"{self.title} masks by {self.masks!r}, which is no field of its settings")
        if self.divisible and self.masks is None:
            raise ValueError(f"{self.title} is divisible, so it has to say by `masks` which share of tokens it masks")

    def pending(self, batch: EncodedBatch, settings: Any, draws: Draws) -> Pending:
        """Its loss on a batch, up to the texts that it needs encoded."""
        function: Callable[[EncodedBatch, Any, Draws], Pending] = resolve_name(self.loss)
        return function(batch, settings, draws)

    def masked_share(self, settings: Section) -> float:
        """Share of tokens that it masks.

        Raises:
            ValueError: it masks none.
        """
        if self.masks is None:
            raise ValueError(f"{self.title} masks no tokens")
        share: float = getattr(settings, self.masks)
        return share

    def batch_problem(self, samples: int, workers: int) -> str | None:
        """Why a batch of that many samples over all workers is too small for it; None if it is not."""
        if self.fewest is None:
            return None
        each = self.fewest.each_worker
        if (samples // workers if each else samples) >= self.fewest.samples:
            return None
        enough = f"{self.fewest.samples * workers} with {workers} worker{'s' if workers > 1 else ''}"
        return (
            f"{samples} is too small for {self.title}, which {self.fewest.reason}; "
            f"at least {enough if each else self.fewest.samples}"
        )

    def build_head(self, model: COSA) -> nn.Module:
        """A fresh head for a model.

        Raises:
            ValueError: it brings none.
        """
        if self.head is None:
            raise ValueError(f"{self.title} brings no head of its own")
        made: nn.Module = resolve_name(self.head.build)(model)
        return made

    def head_part(self, name: str) -> ModelPart | None:
        """The part of the model that is its head, in a table under `name`; None if it brings none."""
        return None if self.head is None else part_of_head(name, may_be_frozen=self.head.may_be_frozen)
