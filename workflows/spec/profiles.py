"""Profiles: changes of many fields of a spec under one name. To add one: a function, and a line in the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from cosa.data.annotation_use import KINDS
from cosa.datasets.own_layout import SHARDS, files_of
from cosa.encoders.vision_families import family_of
from cosa.errors import UserError
from cosa.table import Table
from workflows.spec.overrides import ON_COMMAND_LINE, put
from workflows.spec.place import FieldPath, Place
from workflows.spec.problems import Problem, SpecError, did_you_mean
from workflows.spec.references import split_fields
from workflows.spec.smoke import entries_of
from workflows.spec.source import YamlNode
from workflows.spec.stage_kinds import STAGE_KINDS

STAND_INS = ".smoke"  # the folder of generated data in the storage
_WRITER = "cosa.datasets.stand_in:write_own"  # imported when it is used, because it draws and encodes


# Yields fields of a spec, which it gets as plain values, and their new values.
Changes = Callable[[Mapping[str, Any]], Iterator[tuple[FieldPath, Any]]]


def apply_profile(root: YamlNode) -> None:
    """Change the fields of a spec as the profile says that it names. What --set gave stays.

    Raises:
        SpecError: there is no such profile, or it cannot be had.
    """
    node = root.at(("profile",))
    if node is None or node.is_null:
        return
    if not isinstance(node.value, str) or node.value not in PROFILES:
        raise SpecError([Problem(f"no profile {node.value!r}{did_you_mean(str(node.value), PROFILES)}", node.place)])
    place = Place(f"--profile {node.value}")
    try:
        for path, value in PROFILES[node.value](root.plain()):
            if not root.find(path).file.startswith(ON_COMMAND_LINE):
                put(root, path, value, place)
    except UserError as error:
        raise SpecError([Problem(str(error), place)]) from error


def _smoke(spec: Mapping[str, Any]) -> Iterator[tuple[FieldPath, Any]]:
    """Everything as small as can be, on generated data in the place of that which converters read."""
    yield ("name",), f"{str(spec.get('name', ''))[:58]}-smoke"
    yield ("model",), _small_model(spec)
    yield ("cluster", "workers"), 1
    folder = Path(str(spec.get("storage", "storage"))) / STAND_INS
    for name, data in entries_of(spec, "datasets").items():
        if "made_by" not in data:
            yield from ((("datasets", name, field), value) for field, value in _generated(data, folder).items())
    for name, data in entries_of(spec, "stages").items():
        if (kind := STAGE_KINDS.get(str(data.get("kind")))) is not None:
            for field, value in kind.smoke_fields(data, spec, folder).items():
                yield ("stages", name, field), value


def _generated(dataset: Mapping[str, Any], parent: Path) -> dict[str, Any]:
    """Return fields of a dataset of generated media with the same splits."""
    media, splits = dataset.get("media"), dataset.get("splits")
    if media not in ("video", "image") or not isinstance(splits, dict):
        return {}  # The section is checked afterwards.
    kinds = {str(name): _kinds_of(split) for name, split in splits.items()}
    in_shards = any(SHARDS in named for named in kinds.values())
    frames = media == "video" and dataset.get("decode") is None if in_shards else "frames" in dataset
    folder: Path = resolve_name(_WRITER)(media, parent, frames=frames, shards=in_shards)
    fields: dict[str, Any] = {"splits": {name: files_of(folder, name, named) for name, named in kinds.items()}}
    if not in_shards:
        fields |= {"root": str(folder / "media"), "linked_folders": []}
    if "frames" in dataset:
        fields["frames"] = str(folder / "frames")
    return fields


def _kinds_of(split: Any) -> list[str]:
    """Return which kinds of files a split has: those that a plain path stands for where it names none."""
    named = [kind for kind in (*KINDS, SHARDS) if isinstance(split, dict) and kind in split]
    return named or list(split_fields(str(split)))


def _small_model(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A small model of the kind that the spec names; of the default kind if it names none."""
    model = spec.get("model")
    vision = model.get("vision") if isinstance(model, dict) else None
    encoder = str(vision["encoder"]) if isinstance(vision, dict) and "encoder" in vision else "swin_tiny_patch4_window7_224"
    encoder = encoder.partition(".")[0]
    try:
        smallest = family_of(encoder).smallest
    except ValueError:
        smallest = {}  # The section is checked afterwards, and says what is wrong with the name.
    text = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    return {"vision": {"encoder": encoder, **smallest}, "text": text, "contrastive_dim": 32}


PROFILES: Table[Changes] = Table("profile", {"smoke": _smoke})
