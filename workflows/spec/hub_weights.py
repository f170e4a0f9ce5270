"""Checks weights that encoders fetch from the hub: that they fit, and which of them are still to be fetched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cosa.encoders.text_config import TextConfig
from cosa.encoders.vision_checks import sizes_of_weights
from cosa.message_text import as_written
from cosa.model_config import ModelConfig
from workflows.spec.experiment import Experiment
from workflows.spec.stage_kind import Report
from workflows.spec.stage_kinds import kind_of

# Sizes of the models that most specs name; those of others are compared when they are loaded.
_BERT = {
    "bert-base-uncased": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072},
    "bert-large-uncased": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096},
}
_ALL_BERT = {"vocabulary_size": 30522, "max_position_embeddings": 512}


def check_hub_weights(experiment: Experiment, report: Report) -> None:
    """Report sizes of the model section that the weights which it fetches do not have."""
    if not any(kind_of(stage).builds_model(stage) for stage in experiment.stages.values()):
        return
    model = experiment.section.model
    vision, text = sizes_of_weights(model.vision), _sizes_of(model.text)
    text = {field: size for field, size in text.items() if getattr(model.text, field) != size}
    if vision:
        report(
            f"the weights of {model.vision.encoder!r} have {_listed(vision)}; leave these fields out, or set pretrained: false",
            "model", "vision", "pretrained",
        )  # fmt: skip
    if text:
        report(
            f"the weights of {model.text.encoder!r} have {_listed(text)}; give these, or set pretrained: false",
            "model", "text", "pretrained",
        )  # fmt: skip


def _listed(sizes: Mapping[str, object]) -> str:
    return ", ".join(f"{field}: {as_written(size)}" for field, size in sizes.items())


def fetched_weights(model: ModelConfig) -> Iterator[str]:
    """Yield the names of encoders whose weights come from the hub."""
    if model.vision.pretrained is True:
        yield model.vision.encoder
    if model.text.pretrained is True:
        yield model.text.encoder


def _sizes_of(text: TextConfig) -> dict[str, int]:
    """Return the sizes of the text encoder's weights on the hub; none if it has none from there, or nobody knows."""
    known = _BERT.get(text.encoder.rpartition("/")[2]) if text.pretrained is True else None
    return {**known, **_ALL_BERT} if known is not None else {}
