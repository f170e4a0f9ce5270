"""A new model to train: built with random weights, then given the pretrained ones that its configuration names."""

import torch

from cosa.checkpoints.pretrained import load_pretrained
from cosa.model import COSA
from cosa.model_config import ModelConfig
from cosa.objectives.heads import model_of


def new_model(config: ModelConfig, *, seed: int | None = None) -> COSA:
    """Build a model, on the CPU.

    Args:
        config: what it is made of, `frame_positions` included.
        seed: of the random weights: PyTorch's own generator starts from it, and stays where they leave it. Left out: they are
            drawn from where that generator is.

    Raises:
        UserError: timm cannot build the image encoder, or pretrained weights cannot be loaded (see `load_pretrained`).
    """
    if seed is not None:
        torch.manual_seed(seed)
    model = model_of(config)
    load_pretrained(model)
    return model
