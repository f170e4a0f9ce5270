"""`cosa import-checkpoint` converts a published file into a checkpoint of ours."""

from __future__ import annotations

from pathlib import Path

from cosa.checkpoints.locate import EXPECTED, PublishedFiles, locate
from cosa.errors import UserError
from workflows.terminal.console import PlainConsole


def import_checkpoint(
    source: Path,
    target: Path,
    *,
    options: Path | None = None,
    resolution: int | None = None,
    frame_positions: int | None = None,
    text_heads: int | None = None,
    vision_heads: int | None = None,
) -> None:
    """Read a published file or folder, write a folder of ours, and print what became of every key.

    Args:
        source: a file of weights, or a published folder (log/hps.json, ckpt/model_step_<n>.pt).
        target: folder to write; it must not hold a checkpoint yet.
        options: the hps.json that belongs to the file; left out: the one beside it, if there is one.
        resolution: side of the images, pixels; left out: the file's.
        frame_positions: number of frame embeddings; left out: the file's.
        text_heads: attention heads of BERT, for sizes other than base and large.
        vision_heads: attention heads of a CLIP encoder, if they are not 64 wide.

    Raises:
        UserError: the source does not exist or is no published checkpoint, or the target is taken.
    """
    for path in filter(None, (source, options)):
        if not path.exists():
            raise UserError(f"no file or folder {path.resolve()}")
    found = locate(source)
    if not isinstance(found, PublishedFiles):
        what = "is a checkpoint of ours already" if found is not None else "is not a checkpoint"
        raise UserError(f"{source.resolve()} {what}; expected {EXPECTED.partition('safetensors, ')[2]}")
    if locate(target) is not None or target.is_file():
        raise UserError(f"{target.resolve()} is taken; give another folder, or remove it")
    from cosa.checkpoints.native import save_checkpoint
    from cosa.checkpoints.published import import_published

    files = PublishedFiles(found.weights, options or found.options)
    model, report = import_published(
        files,
        resolution=resolution,
        frame_positions=frame_positions,
        text_heads=text_heads,
        vision_heads=vision_heads,
    )
    save_checkpoint(model, target)
    console = PlainConsole(soft_wrap=True)
    for line in report.lines():
        console.print(line, markup=False)
    vision, text = model.config.vision, model.config.text
    console.print(
        f"{vision.family.title} at {vision.resolution} px, BERT {text.num_hidden_layers} x {text.hidden_size}, "
        f"{model.config.frame_positions} frame embeddings -> {target}",
        markup=False,
    )
