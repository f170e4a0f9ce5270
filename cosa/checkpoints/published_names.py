"""Names of COSA's published state dict against ours."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from cosa.encoders import clip, swin

Family = Literal["swin", "clip"]

VISION_PREFIX: dict[Family, str] = {"swin": "video_encoder.", "clip": "clip_model.visual."}
_BACKBONE = "vision.backbone."
_RENAMED = (
    ("multimodal.", "multimodal_encoder."),
    ("projection.", "hidden_trans_video_multimodal."),
    ("text_contrastive_head.", "contra_head_t.linear."),
    ("video_contrastive_head.", "contra_head_v.linear."),
    ("matching_head.", "itm_head."),
    ("frame_embedding", "video_frame_embedding"),
    ("temperature", "contra_temp"),
)
# Published names that hold the same tensor twice; the second one is read when the first is absent.
TIED = {
    "multimodal_encoder.bert.embeddings.word_embeddings.weight": "multimodal_encoder.cls.predictions.decoder.weight",
    "multimodal_encoder.cls.predictions.bias": "multimodal_encoder.cls.predictions.decoder.bias",
}
# Ours of the same kind: the model itself restores them.
TIED_OURS = frozenset({"multimodal.cls.predictions.decoder.weight", "multimodal.cls.predictions.decoder.bias"})

_UNUSED = {
    r"embeddings\.position_ids$": "buffer of position numbers, counted anew",
    r"bert\.pooler\.": "BERT's pooler; COSA reads the first hidden state",
    r"cls\.seq_relationship\.": "BERT's next-sentence head, not part of COSA",
}
UNKNOWN = "no part of a COSA model"


@dataclass(frozen=True)
class ImportReport:
    """What became of every key of an imported file.

    used: keys whose values are in the model, by our name. unused: reason by key. adapted: what was interpolated, in words.
    """

    source: str
    used: Mapping[str, str]
    unused: Mapping[str, str]
    adapted: tuple[str, ...] = ()

    def reasons(self) -> dict[str, list[str]]:
        """The unused keys by reason."""
        grouped: dict[str, list[str]] = {}
        for key, reason in self.unused.items():
            grouped.setdefault(reason, []).append(key)
        return grouped

    def lines(self) -> list[str]:
        """The report for people."""
        found = [f"{self.source}: {len(self.used)} keys used, {len(self.unused)} unused"]
        found += [f"  {len(keys)} unused: {reason} ({_some(keys)})" for reason, keys in self.reasons().items()]
        return [*found, *(f"  {line}" for line in self.adapted)]


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:2]) + (", ..." if len(keys) > 2 else "")


def published_name(name: str, family: Family) -> str:
    """The published name of one of our parameters.

    Raises:
        KeyError: the published model has nothing of the kind.
    """
    if name.startswith(_BACKBONE):
        rename = swin.published_name if family == "swin" else clip.published_name
        return VISION_PREFIX[family] + rename(name.removeprefix(_BACKBONE))
    for ours, theirs in _RENAMED:
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    raise KeyError(name)


def published_names(names: Iterable[str], family: Family) -> dict[str, str]:
    """Published names by ours; tied weights once."""
    return {name: published_name(name, family) for name in names if name not in TIED_OURS}


def reason_unused(key: str, family: Family) -> str:
    """Why a published key has no place in our model."""
    if key in TIED.values():
        return "the same tensor as the weight that it is tied to"
    below, patterns = key, _UNUSED
    if family == "swin" and key.startswith("video_encoder."):
        below, patterns = key.removeprefix("video_encoder."), swin.UNUSED
    elif family == "clip" and key.startswith("clip_model."):
        below, patterns = key.removeprefix("clip_model."), clip.UNUSED
    return next((reason for pattern, reason in patterns.items() if re.search(pattern, below)), UNKNOWN)


def without_wrappers(key: str) -> str:
    """The key without `module.` anywhere in it, as parallel training leaves it."""
    return ".".join(part for part in key.split(".") if part != "module")
