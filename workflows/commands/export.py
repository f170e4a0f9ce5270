"""`cosa export` writes a checkpoint as a folder for others, and puts it on the Hugging Face hub."""

from __future__ import annotations

import shlex
import shutil
import tempfile
from pathlib import Path

import yaml

from cosa.checkpoints.settings import SETTINGS, SPEC
from cosa.errors import UserError
from workflows.commands.chosen_checkpoint import Choice
from workflows.commands.naming import DEFAULT_STORAGE
from workflows.records.checkpoint_card import CARD
from workflows.records.served_model import MLMODEL
from workflows.terminal.streams import say

BESIDE_WEIGHTS = (SETTINGS, CARD, SPEC, MLMODEL)  # Whatever else lies there is not published.


def export(checkpoint: str, out: Path, *, push: str | None, public: bool, storage: Path = DEFAULT_STORAGE) -> None:
    """Write weights as safetensors, configuration, vocabulary, settings and a model card.

    Args:
        checkpoint: an address, as of `cosa.load`.
        out: folder to write; it must not exist.
        push: also put it on the hub, as OWNER/NAME.
        public: let everybody see it there.
        storage: folder of results, if the address is that of one.

    Raises:
        UserError: there is no such checkpoint, the folder exists, or the hub refuses.
    """
    from cosa.inference.hub import check_name, upload
    from cosa.inference.sources import local_checkpoint

    if public and push is None:
        raise UserError("--public says who may see it on the hub; name it there with --push OWNER/NAME")
    if push is not None:
        check_name(push)
    if out.exists():
        raise UserError(f"{out.absolute()} exists; choose another folder, or remove it")
    path = local_checkpoint(Choice(None, None, storage).found(checkpoint))
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
        working = Path(folder) / out.name
        _write(path, working)
        working.rename(out)
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    print(f"{out}: {', '.join(sorted(file.name for file in out.iterdir()))} ({size / 1e6:.1f} MB)")
    if push is not None:
        say(f"putting {out} on the hub as {push}")
        try:
            print(upload(out, push, private=not public))
        except UserError as error:
            raise UserError(
                f"{error}. {out} is complete: `hf upload {push} {shlex.quote(str(out))}` puts it there later"
            ) from error


def _write(checkpoint: Path, folder: Path) -> None:
    """Write what is published of a checkpoint into a new folder.

    Raises:
        UserError: the checkpoint cannot be read, or its card is none for a hub.
    """
    from huggingface_hub import ModelCard

    from cosa.checkpoints.loading import load_model
    from cosa.checkpoints.locate import NativeFolder, locate
    from cosa.checkpoints.native import save_checkpoint

    found = locate(checkpoint)
    if isinstance(found, NativeFolder):
        folder.mkdir()
        for file in (*found.parts, *(found.folder / name for name in BESIDE_WEIGHTS)):
            if file.is_file():
                shutil.copy2(file, folder)
    else:
        save_checkpoint(load_model(checkpoint), folder)
    card = folder / CARD
    if not card.is_file():
        card.write_text(_plain_card(folder.name, checkpoint), encoding="utf-8")
    try:
        ModelCard.load(card).save(card)
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(
            f"{checkpoint}/{card.name}: hubs cannot read its header ({error}); correct it between the ---"
        ) from error


def _plain_card(name: str, source: Path) -> str:
    """Return a card of a checkpoint of which nothing is recorded."""
    from huggingface_hub import ModelCardData

    data = ModelCardData(library_name="cosa-experiments", tags=["cosa", "video-language"])
    made = f"A COSA video-language model (arXiv 2306.09085), converted from {source.name} by COSA Experiments."
    use = '```python\nimport cosa\nmodel = cosa.load("THIS_FOLDER", eval_frames=8)\n```'
    return f"---\n{data.to_yaml()}\n---\n\n# {name}\n\n{made}\n\n{use}\n"
