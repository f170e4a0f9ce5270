"""Published checkpoints made from tiny models of ours: what the published code would have saved."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cosa.checkpoints.published_names import TIED, published_names
from cosa.model import COSA

# What files hold besides, by the published name of the encoder.
UNUSED = {
    "clip": {
        "visual.proj": torch.zeros(3, 3),
        "transformer.resblocks.0.ln_1.weight": torch.zeros(3),
        "logit_scale": torch.tensor(1.0),
    },
    "swin": {"layers.0.blocks.0.attn.relative_position_index": torch.zeros(2, 2)},
}


def published_state(model: COSA) -> dict[str, Tensor]:
    """The state dict under published names, with tied weights doubled, buffers, and what COSA does not use."""
    family = model.config.vision.family
    state = model.state_dict()
    found = {theirs: state[ours].clone() for ours, theirs in published_names(state, family).items()}
    found["video_frame_embedding"] = found["video_frame_embedding"][None]
    for name, other in TIED.items():
        found[other] = found[name].clone()
    found["multimodal_encoder.bert.embeddings.position_ids"] = torch.arange(4)[None]
    for name in ("clip_model.visual.class_embedding", "clip_model.visual.positional_embedding"):
        if name in found:  # timm has dimensions of 1 before
            found[name] = found[name][0].squeeze(0)
    assert family.published is not None
    return found | {family.published.place + name: value for name, value in UNUSED[family.published.option].items()}


def published_folder(folder: Path, model: COSA, *, steps: tuple[int, ...] = (100,), **options: Any) -> Path:
    """log/hps.json and ckpt/model_step_<n>.pt."""
    (folder / "log").mkdir(parents=True)
    (folder / "ckpt").mkdir()
    given = {"num_attention_heads": model.config.text.num_attention_heads, **options}
    (folder / "log" / "hps.json").write_text(json.dumps(given))
    for step in steps:
        torch.save(published_state(model), folder / "ckpt" / f"model_step_{step}.pt")
    return folder
