"""Builds models whose weights come from a file without drawing random ones first, which takes seconds for a large model."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn import init
from torch.overrides import TorchFunctionMode

_RANDOM: frozenset[Callable[..., Tensor]] = frozenset(
    {
        init.kaiming_normal_, init.kaiming_uniform_, init.normal_, init.trunc_normal_, init.uniform_, init.xavier_normal_,
        init.xavier_uniform_, Tensor.erfinv_, Tensor.normal_, Tensor.uniform_,
    }
)  # fmt: skip


_SCALING: frozenset[Callable[..., Tensor]] = frozenset({Tensor.add_, Tensor.clamp_, Tensor.mul_})  # what follows in timm


class UnsetWeights(TorchFunctionMode):
    """Inside, what would fill a tensor with random numbers leaves it as it is, so that it may hold anything.

    All of these tensors have to be loaded afterwards. Only this thread is affected.
    """

    def __init__(self) -> None:
        super().__init__()
        self._unset: dict[int, Tensor] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call a function of torch, or return what it would fill."""
        del types
        given = kwargs or {}
        target = args[0] if args else given.get("tensor")
        if func in _RANDOM and isinstance(target, Tensor):
            self._unset[id(target)] = target
            return target
        if func in _SCALING and id(target) in self._unset:
            return target
        return func(*args, **given)
