"""Products of linear layers on a CPU through oneDNN, which PyTorch comes with but uses for float32 only where it is asked to.

PyTorch gives float32 products to MKL, which leaves half of the speed of AMD's processors unused (measured on an EPYC with
AVX-512: 215 against 470 GFLOP/s) and is slow for few rows everywhere. Results differ by rounding only. The operators are those
that `torch.compile` uses on a CPU.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cosa.private_torch import private

EXPECTED_ROWS = 16  # of generation: the layout of packed weights is chosen for about that many
PRODUCT, PACK = "ops.mkldnn._linear_pointwise", "ops.mkldnn._reorder_linear_weight"


def takes_onednn(x: Tensor, weight: Tensor) -> bool:
    """Whether the product of these is oneDNN's: float32 on a CPU, no autocast, and not compiled, which chooses itself."""
    return (
        not torch.compiler.is_compiling()
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.numel() > 0
        and not torch.is_autocast_enabled("cpu")
        and has_onednn()
    )


@cache
def has_onednn() -> bool:
    """Whether this PyTorch has oneDNN, and the operators through which it is asked for products."""
    return torch.backends.mkldnn.is_available() and all(private(name) is not None for name in (PRODUCT, PACK))


@cache
def multiplies_gradients() -> bool:
    """Whether gradients of weights are oneDNN's too: without AVX-512, MKL is the better one for sums over many rows."""
    return torch.backends.cpu.get_cpu_capability() == "AVX512"


def linear_with_gradients(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(..., k), (n, k) to (..., n), for what `takes_onednn` says yes to."""
    result: Tensor = _Linear.apply(x, weight, bias)
    return result


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """(..., k), (n, k) to (..., n), without gradients. weight: also as `packed` gives it."""
    multiply = private(PRODUCT)
    assert multiply is not None
    found: Tensor = multiply(x, weight, bias, "none", [], "")
    return found


def packed(weight: Tensor) -> Tensor:
    """A copy of weights (n, k) in oneDNN's own layout: for few rows `product` is twice as fast again with it."""
    pack = private(PACK)
    assert pack is not None
    found: Tensor = pack(weight.detach(), EXPECTED_ROWS)
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
    if not multiplies_gradients():
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
