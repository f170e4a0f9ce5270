"""Checkpoints in our own form: a folder with model.safetensors, config.json and vocab.txt. One call saves, one call loads."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from cosa.checkpoints.finite_weights import expect_finite
from cosa.checkpoints.locate import NATIVE_CONFIG as CONFIG
from cosa.checkpoints.locate import NATIVE_VOCABULARY as VOCABULARY
from cosa.checkpoints.locate import NATIVE_WEIGHTS as WEIGHTS
from cosa.checkpoints.unset_weights import UnsetWeights
from cosa.encoders.positions import fit_positions
from cosa.errors import UserError
from cosa.model import COSA
from cosa.model_config import ModelConfig
from cosa.objectives.heads import model_of

# Both names of a tied weight are one tensor; the one left out is restored by the model itself.
_TIED = {
    "multimodal.cls.predictions.decoder.weight": "multimodal.bert.embeddings.word_embeddings.weight",
    "multimodal.cls.predictions.decoder.bias": "multimodal.cls.predictions.bias",
}


def save_checkpoint(model: COSA, folder: Path, weights: Mapping[str, Tensor] | None = None) -> None:
    """Write a model to a folder, which is made if it does not exist.

    weights: all of the model's, by name, where it has only a part of each itself.
    """
    folder.mkdir(parents=True, exist_ok=True)
    own = model.state_dict() if weights is None else weights
    written = {name: value.detach().to("cpu").contiguous() for name, value in own.items() if name not in _TIED}
    save_file(written, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / CONFIG).write_text(model.config.model_dump_json(indent=2) + "\n", encoding="utf-8")
    model.tokenizer.save(folder)


def read_config(folder: Path) -> ModelConfig:
    """The configuration of a saved model.

    Raises:
        UserError: the folder is no checkpoint.
    """
    path = folder / CONFIG
    if not path.is_file() or not (folder / WEIGHTS).is_file():
        raise UserError(f"{folder.resolve()} is no checkpoint: expected {CONFIG} and {WEIGHTS} in it")
    try:
        config = ModelConfig.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = f"{'.'.join(map(str, first['loc']))}: " if first["loc"] else ""
        raise UserError(f"{path}: {place}{first['msg']}; make the checkpoint again") from error
    if config.frame_positions is None:
        raise UserError(f"{path}: frame_positions is missing; make the checkpoint again")
    return config


def _check_vocabulary(model: COSA, path: Path) -> None:
    """Complain if the vocabulary beside the weights is not the one that words are looked up in: its ids are rows of weights.

    Raises:
        UserError: it is missing, or holds other words.
    """
    advice = "copy the checkpoint again from where it comes from, or make it again"
    try:
        found = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        what = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        raise UserError(f"{path} {what}; {advice}") from error
    expected = model.tokenizer.entries()
    if found != expected:
        places = range(max(len(found), len(expected)))
        line = next(place for place in places if found[place : place + 1] != expected[place : place + 1])
        words = [repr(texts[line]) if line < len(texts) else "nothing" for texts in (found, expected)]
        raise UserError(f"{path}, line {line + 1}: found {words[0]}, expected {words[1]}; {advice}")


def load_checkpoint(folder: Path, *, resolution: int | None = None, frame_positions: int | None = None) -> COSA:
    """Build the saved model, on the CPU.

    Args:
        folder: as written by `save_checkpoint`.
        resolution: side of the input image; what depends on it is interpolated (see `fit_positions`).
        frame_positions: number of frame embeddings; others than the saved number take the nearest saved ones.

    Raises:
        UserError: the folder is no checkpoint, is damaged or incomplete, or its weights are NaN or infinite or do not fit its
            configuration.
    """
    saved = read_config(folder)
    vision = saved.vision.model_copy(update={"resolution": resolution or saved.vision.resolution})
    config = saved.model_copy(update={"vision": vision, "frame_positions": frame_positions or saved.frame_positions})
    with UnsetWeights():
        model = model_of(config)
    _check_vocabulary(model, folder / VOCABULARY)
    try:
        weights = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{folder / WEIGHTS} is damaged ({error}); make the checkpoint again") from error
    expect_finite(weights, folder / WEIGHTS)
    for tied, original in _TIED.items():
        if original in weights:
            weights[tied] = weights[original]
    fit_positions(model.state_dict(), weights)
    try:
        missing, unexpected = model.load_state_dict(weights, strict=False)
    except RuntimeError as error:  # shapes
        reason = str(error).strip().splitlines()[-1].strip()
        raise UserError(f"{folder / WEIGHTS} does not fit its {CONFIG} at resolution {vision.resolution}: {reason}") from error
    if missing or unexpected:
        raise UserError(
            f"{folder / WEIGHTS} does not fit its {CONFIG}: missing {missing[:3]}, unknown {unexpected[:3]} "
            f"({len(missing)} and {len(unexpected)} in all)"
        )
    return model
