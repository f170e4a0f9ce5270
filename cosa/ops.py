"""What the encoders compute with: PyTorch's own operations, and on a CPU the faster ones of `cosa/cpu`.

On any other device, and inside torch.compile, every function here is the plain PyTorch that its last line shows.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cosa.cpu.attention import attend_with_dropout
from cosa.cpu.drop_path import add_drawn_branch
from cosa.cpu.dropout import drop
from cosa.cpu.feed_forward import feed_forward_with_gradients
from cosa.cpu.linear import linear_with_gradients, packed, product, takes_onednn


def _on_cpu(x: Tensor) -> bool:
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def attend(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    """Scaled dot-product attention of (rows, heads, queries, dim) to (rows, heads, positions, dim).

    mask: bool, true where a query may look; every query may look somewhere. dropout: of the attention weights.
    """
    if dropout and _on_cpu(query):
        return attend_with_dropout(query, keys, values, mask, dropout)
    return F.scaled_dot_product_attention(query, keys, values, attn_mask=mask, dropout_p=dropout)


def dropout(x: Tensor, rate: float) -> Tensor:
    """Zero a share of the values and scale the others, for training."""
    if rate and _on_cpu(x):
        return drop(x, rate)
    return F.dropout(x, rate)


def feed_forward(x: Tensor, first: nn.Linear, second: nn.Linear) -> Tensor:
    """second(gelu(first(x))), (..., dim) to (..., dim)."""
    if torch.is_grad_enabled() and takes_onednn(x, first.weight):
        return feed_forward_with_gradients(x, first, second)
    return second(F.gelu(first(x)))


def add_branch(x: Tensor, branch: Callable[[Tensor], Tensor], drop_path: nn.Module) -> Tensor:
    """A residual branch with stochastic depth: x + drop_path(branch(x)), (images, ...) to the same shape.

    drop_path: timm's DropPath, or nn.Identity where no branch is ever dropped.
    """
    rate: float = getattr(drop_path, "drop_prob", None) or 0.0
    if rate and drop_path.training and _on_cpu(x):
        return add_drawn_branch(x, branch, rate)
    return x + drop_path(branch(x))


class Linear(nn.Linear):
    """A linear layer; parameters and names are those of nn.Linear."""

    packed: Tensor | None = None  # the weights in oneDNN's own layout, inside `packed_weights`

    @classmethod
    def of(cls, layer: nn.Linear) -> "Linear":
        """A layer with the very parameters of another one."""
        made = cls(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")  # draws nothing
        made.weight, made.bias = layer.weight, layer.bias
        return made.train(layer.training)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) to (..., out_features)."""
        if takes_onednn(x, self.weight):
            if torch.is_grad_enabled():
                return linear_with_gradients(x, self.weight, self.bias)
            return product(x, self.weight if self.packed is None else self.packed, self.bias)
        return super().forward(x)


def use_fast_linear(model: nn.Module) -> None:
    """Put a `Linear` with the same parameters in the place of every plain linear layer inside a model, whoever built it."""
    for parent in model.modules():
        for name, child in parent.named_children():
            if type(child) is nn.Linear:
                setattr(parent, name, Linear.of(child))


@contextmanager
def packed_weights(model: nn.Module) -> Iterator[None]:
    """Inside, each `Linear` on a CPU uses a copy of its weights in oneDNN's own layout: for few rows twice as fast again.

    For work without gradients; weights must not change inside. Entering it again inside costs nothing.
    """
    made: list[Linear] = []
    try:
        for module in model.modules():
            if isinstance(module, Linear) and module.packed is None and takes_onednn(module.weight, module.weight):
                module.packed = packed(module.weight)
                made.append(module)
        yield
    finally:
        for module in made:
            module.packed = None
