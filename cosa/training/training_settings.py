"""How training runs: sections of a spec that belong to the optimizer, the loop and the input of the model."""

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from cosa.data.clip_settings import ClipSettings
from cosa.objectives.objective_settings import ObjectiveSettings
from cosa.section import Probability, Section, no_effect


class OptimizerSettings(Section):
    """AdamW with linear warm-up and decay to 0 (paper, appendix; published defaults)."""

    learning_rate: float = Field(1e-4, gt=0, description="peak learning rate")
    vision_learning_rate: float | None = Field(
        None, gt=0, description="peak learning rate of the vision encoder; left out: 5e-7 for CLIP weights, else learning_rate"
    )
    new_parameters: tuple[str, ...] = Field(
        (), description="beginnings of names of parameters that are trained at new_learning_rate, such as matching_head."
    )
    new_learning_rate: float | None = Field(None, gt=0, description="peak learning rate of new_parameters")
    schedule: Literal["linear", "cosine"] = Field("linear", description="how the learning rate falls after the warm-up")
    warmup_ratio: Probability = Field(0.1, description="share of the steps in which the learning rate rises")
    weight_decay: float = Field(0.01, ge=0, description="on matrices; biases, norms and embeddings of positions have none")
    betas: tuple[Probability, Probability] = Field((0.9, 0.98), description="AdamW's decay rates of its two moments")
    epsilon: float = Field(1e-6, gt=0, description="AdamW's epsilon")
    gradient_clip: float = Field(5.0, gt=0, description="largest norm of the full gradient")
    ema_decay: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="share of the EMA (exponential moving average) of the weights that a step leaves as it is, such as 0.999; "
        "the EMA is validated and saved; left out: the weights themselves",
    )

    @model_validator(mode="after")
    def _new_parameters_have_a_rate(self) -> "OptimizerSettings":
        if bool(self.new_parameters) != (self.new_learning_rate is not None):
            raise ValueError("new_learning_rate: new_parameters and new_learning_rate belong together; give both or neither")
        return self


class LoopSettings(Section):
    """Precision, memory and rhythm of the training loop."""

    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="arithmetic of the forward pass; auto: bfloat16 on a GPU that has it, else float32; float16, for GPUs "
        "without bfloat16, scales the loss",
    )
    gradient_checkpointing: bool = Field(False, description="recompute activations in the backward pass to save memory")
    accumulate: PositiveInt = no_effect(
        1,
        description="parts that a worker's share of a batch runs in, one after the other, to save memory; the update is that "
        "of the full batch. Only for objectives that are means over masked tokens: mlm, cap and question answering",
    )
    sharding: Literal["none", "fsdp"] = no_effect(
        "none",
        description="fsdp: weights, gradients and the optimizer's state are sharded over the workers instead of copied to "
        "each; for models that do not fit otherwise. With one worker there is nothing to shard",
    )
    compile: bool = Field(False, description="compile both encoders with torch.compile: slow to start, pays on GPUs")
    log_every: PositiveInt = no_effect(10, description="steps between two records of losses and speed")
    evaluations_per_run: NonNegativeInt = Field(
        1, description="how often training stops to validate and to save a checkpoint, evenly spread, the last at the end"
    )
    checkpoint_every: PositiveInt | None = no_effect(
        None,
        description="steps between checkpoints to resume from, besides those of evaluations; left out: there is one every ten "
        "minutes",
    )
    max_skipped_steps: NonNegativeInt = no_effect(
        0, description="updates that are left out because a loss or gradient is not finite before training stops"
    )
    loader_workers: NonNegativeInt = no_effect(
        0, description="processes of a worker that prepare batches; 0: the worker itself"
    )


class TrainingSettings(OptimizerSettings, LoopSettings, ClipSettings, ObjectiveSettings):
    """All settings of a training, but for its data."""
