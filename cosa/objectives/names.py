"""Names of the objectives as specs write them, without torch, so that a spec is checked in an instant."""

from typing import Literal

ObjectiveName = Literal["itc", "itm", "mlm", "cap", "citc", "citm", "cmlm", "ccap"]

LONG_NAMES: dict[ObjectiveName, str] = {
    "itc": "image/video-text contrastive",
    "itm": "image/video-text matching",
    "mlm": "masked-language modelling",
    "cap": "captioning (causal generative modelling)",
    "citc": "contrastive on concatenated samples",
    "citm": "matching on concatenated samples",
    "cmlm": "masked-language modelling on concatenated samples",
    "ccap": "captioning on concatenated samples",
}

# Those that are taken on concatenated samples; the others on the samples themselves.
CONCATENATED: frozenset[str] = frozenset({"citc", "citm", "cmlm", "ccap"})

# Means over masked tokens of samples that know nothing of each other: a batch may run in parts, one after the other.
DIVISIBLE: frozenset[str] = frozenset({"mlm", "cap", "qa"})
