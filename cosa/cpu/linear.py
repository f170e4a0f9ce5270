"""Linear layers on a CPU through oneDNN, which PyTorch comes with but asks for float32 products only where it is told to.

PyTorch gives float32 products to MKL, which leaves half of the speed of AMD's processors unused (measured on an EPYC with
AVX-512: 215 against 470 GFLOP/s) and is slow for few rows everywhere. Results differ by rounding only. On other devices, for
other types and under autocast these are plain linear layers. The operators are those that `torch.compile` uses on a CPU.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

EXPECTED_ROWS = 16  # of generation: the layout of packed weights is chosen for about that many
AVAILABLE = torch.backends.mkldnn.is_available() and all(
    hasattr(torch.ops.mkldnn, name) for name in ("_linear_pointwise", "_reorder_linear_weight")
)
# Without AVX-512, MKL is the better one for sums over many rows.
GRADIENTS_OF_WEIGHTS = AVAILABLE and torch.backends.cpu.get_cpu_capability() == "AVX512"


class Linear(nn.Linear):
    """A linear layer that takes the fastest way there is; parameters and names are those of nn.Linear."""

    packed: Tensor | None = None  # the weights in oneDNN's own layout, inside `packed_weights`

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) to (..., out_features)."""
        if not takes_onednn(x, self.weight):
            return super().forward(x)
        if torch.is_grad_enabled():
            result: Tensor = _Linear.apply(x, self.weight, self.bias)
            return result
        return product(x, self.weight if self.packed is None else self.packed, self.bias)


def use_fast_linear(model: nn.Module) -> None:
    """Turn a model's linear layers, whoever built them, into `Linear`."""
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = Linear


@contextmanager
def packed_weights(model: nn.Module) -> Iterator[None]:
    """Inside, linear layers on a CPU use copies of their weights in oneDNN's own layout: for few rows twice as fast again.

    For work without gradients; weights must not change inside. Entering it again inside costs nothing.
    """
    made: list[Linear] = []
    try:
        for module in model.modules():
            if isinstance(module, Linear) and module.packed is None and takes_onednn(module.weight, module.weight):
                module.packed = torch.ops.mkldnn._reorder_linear_weight(module.weight.detach(), EXPECTED_ROWS)
                made.append(module)
        yield
    finally:
        for module in made:
            module.packed = None


def takes_onednn(x: Tensor, weight: Tensor) -> bool:
    """Whether the product of these is oneDNN's: float32 on a CPU, no autocast, and not compiled, which chooses itself."""
    return (
        AVAILABLE
        and not torch.compiler.is_compiling()
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.numel() > 0
        and not torch.is_autocast_enabled("cpu")
    )


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """(..., k), (n, k) to (..., n), without gradients."""
    found: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return found


def gradients(
    gradient: Tensor, x: Tensor, weight: Tensor, wanted: tuple[bool, ...]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Of input, weight and bias, those that are wanted, from the gradient of the output (..., n) of (..., k), (n, k)."""
    of_x = product(gradient, weight.t()) if wanted[0] else None
    rows = gradient.reshape(-1, weight.shape[0])  # (rows, n)
    of_weight = _gradient_of_weight(rows, x.reshape(-1, weight.shape[1])) if wanted[1] else None
    return of_x, of_weight, rows.sum(0) if wanted[2] else None


def _gradient_of_weight(gradient: Tensor, x: Tensor) -> Tensor:
    """(rows, n), (rows, k) to (n, k)."""
    if not GRADIENTS_OF_WEIGHTS:
        return gradient.t() @ x
    if x.shape[1] >= gradient.shape[1]:  # oneDNN copies what is transposed; which way round is faster was measured
        return product(gradient.t(), x.t())
    return product(x.t(), gradient.t()).t()


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        return gradients(gradient, x, weight, ctx.needs_input_grad)
