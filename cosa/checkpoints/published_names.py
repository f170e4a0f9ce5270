"""Names of COSA's published state dict against ours."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cosa.encoders.published_vision import PublishedVision
from cosa.encoders.vision_family import VisionFamily
from cosa.errors import UserError

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


def published_files(family: VisionFamily) -> PublishedVision:
    """What was published of a family of image encoders.

    Raises:
        UserError: nothing was.
    """
    if family.published is None:
        raise UserError(
            f"the published names of COSA's weights know no {family.title} encoder; leave out `behaviour: published`, which "
            "goes by them, or take an encoder of another family"
        )
    return family.published


def published_name(name: str, family: VisionFamily) -> str:
    """The published name of one of our parameters.

    Raises:
        KeyError: the published model has nothing of the kind.
        UserError: no files of the family were published.
    """
    if name.startswith(_BACKBONE):
        files = published_files(family)
        return files.place + files.name(name.removeprefix(_BACKBONE))
    for ours, theirs in _RENAMED:
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    raise KeyError(name)


def published_names(names: Iterable[str], family: VisionFamily) -> dict[str, str]:
    """Published names by ours; tied weights once."""
    return {name: published_name(name, family) for name in names if name not in TIED_OURS}


def reason_unused(key: str, family: VisionFamily) -> str:
    """Why a published key has no place in our model."""
    if key in TIED.values():
        return "the same tensor as the weight that it is tied to"
    files = published_files(family)
    if key.startswith(files.place):
        return files.reason_unused(key.removeprefix(files.place)) or UNKNOWN
    return next((reason for pattern, reason in _UNUSED.items() if re.search(pattern, key)), UNKNOWN)


def without_wrappers(key: str) -> str:
    """The key without `module.` anywhere in it, as parallel training leaves it."""
    return ".".join(part for part in key.split(".") if part != "module")
