"""What can be known to be wrong with a configuration of an image encoder before timm is imported, which takes seconds."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cosa.encoders.vision_config import VisionConfig

_REGISTERED = re.compile(r"@register_model\s+def (\w+)\(")
_FORMER = re.compile(r"register_model_deprecations\(__name__, \{(.*?)\}\)", re.DOTALL)  # names that still work
_KEY = re.compile(r"""['"](\w+)['"]\s*:""")
# Sizes that weights have; those of patches and windows can be fitted. With other heads, weights fit, but mean another model.
FIXED_BY_WEIGHTS = ("embed_dim", "depth", "num_heads", "mlp_ratio")
_PATCH = re.compile(r"patch(\d+)")


def _sources() -> list[str]:
    """timm's source of models; nothing if it is not where it usually is."""
    found = find_spec("timm")
    folders = found.submodule_search_locations if found is not None else None
    files = [file for folder in folders or () for file in Path(folder, "models").glob("*.py")]
    return [file.read_text(encoding="utf-8") for file in files]


@cache
def _installed_names() -> frozenset[str]:
    """Names of the models in timm's source."""
    texts = _sources()
    former = [name for text in texts for names in _FORMER.findall(text) for name in _KEY.findall(names)]
    return frozenset(name for text in texts for name in _REGISTERED.findall(text)) | frozenset(former)


def encoder_names() -> Iterable[str]:
    """Names of the models that timm knows, without tags; those of extensions too, which have imported it."""
    timm = sys.modules.get("timm")
    return _installed_names() if timm is None else {*timm.list_models(), *_installed_names()}


def unknown_encoder(config: VisionConfig, known: Iterable[str]) -> str | None:
    """Say that timm has no such model, and which are similar; None if it has."""
    known, name = set(known), config.encoder.partition(".")[0]
    if name in known or not known:
        return None
    patterns = list(config.family.names)
    near = get_close_matches(name, sorted(one for one in known if any(fnmatchcase(one, pattern) for pattern in patterns)))
    meant = f"; did you mean {' or '.join(map(repr, near))}?" if near else "."
    return (
        f"timm has no model {name!r}{meant} All {config.family.title} encoders: "
        f'`python -c "import timm; print(timm.list_models({patterns}))"`'
    )


def sizes_of_weights(config: VisionConfig) -> dict[str, Any]:
    """Fields to which a configuration gives other sizes than the hub's weights of its encoder have, with those of the weights,
    as far as timm's source says them."""
    if config.pretrained is not True:
        return {}
    source = _sizes_in_source(config.encoder.partition(".")[0])
    arguments = {field: config.family.sizes[field] for field in FIXED_BY_WEIGHTS if field in config.family.sizes}
    return {
        field: source[argument]
        for field, argument in arguments.items()
        if argument in source and getattr(config, field) not in (None, source[argument])
    }


@cache
def _sizes_in_source(name: str) -> dict[str, Any]:
    """Arguments that timm's function of a model gives as numbers, by name; none if its source says them otherwise."""
    found: dict[str, Any] = {}
    for text in _sources():
        start = text.find(f"\ndef {name}(")
        if start < 0:
            continue
        end = text.find("\n@", start)
        for node in ast.walk(ast.parse(text[start : end if end >= 0 else None])):
            if isinstance(node, ast.keyword) and node.arg is not None:
                with suppress(ValueError):  # It is no number, nor a list of them.
                    found.setdefault(node.arg, ast.literal_eval(node.value))
    return found


def patch_of(config: VisionConfig) -> int | None:
    """The side of one patch, pixels; None where the encoder's name does not tell."""
    named = _PATCH.search(config.encoder)
    return config.patch_size or (int(named[1]) if named else None)


def indivisible(resolution: int, patch: int, encoder: str) -> str | None:
    """Say that an image cannot be split into patches, and which sizes can; None if it can."""
    if resolution % patch == 0:
        return None
    above = (resolution // patch + 1) * patch
    fitting = " or ".join(str(size) for size in (above - patch, above) if size)
    return f"{resolution} is not a multiple of {patch}, the patches of {encoder!r}; give {fitting}"
