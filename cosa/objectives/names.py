"""Names of the objectives as specs write them, without torch, so that a spec is checked in an instant."""

from typing import Literal, get_args

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

CONCATENATED: frozenset[str] = frozenset(name for name in get_args(ObjectiveName) if name.startswith("c") and name != "cap")
