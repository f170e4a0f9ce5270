"""An EMA (exponential moving average) of the trained weights, which is validated and saved in their place."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from cosa.training.sharding import local_part, sharded_like


class WeightEMA:
    """mean = decay * mean + (1 - decay) * weight after every update, from the weights at the start on.

    Of sharded weights each worker averages its own part. PyTorch's AveragedModel would ask the device
    after every step whether the update was left out; this does not wait for it.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self._parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._means = [weight.clone() for weight in self._weights()]

    def _weights(self) -> list[Tensor]:
        return [local_part(parameter.detach()) for parameter in self._parameters.values()]

    @torch.no_grad()
    def update(self, left_out: Tensor) -> None:
        """Take the weights after a step in; left_out: 1.0 if the step changed none, else 0.0, a scalar on their device."""
        share = (1.0 - self.decay) * (1.0 - left_out)
        torch._foreach_lerp_(self._means, self._weights(), [share] * len(self._means))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the model has the mean; the trained weights wait."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        """Swap weights and means one after the other, in place: optimizer, DDP and FSDP hold on to the same tensors."""
        for weight, mean in zip(self._weights(), self._means, strict=True):
            before = weight.clone()
            weight.copy_(mean)
            mean.copy_(before)

    @torch.no_grad()
    def restore(self, trained: Mapping[str, Tensor]) -> None:
        """Take the weights that the model has now as the mean, and put full trained weights, by name, into the model."""
        torch._foreach_copy_(self._means, self._weights())
        for name, parameter in self._parameters.items():
            parameter.copy_(sharded_like(trained[name], parameter))

    def trained(self) -> Mapping[str, Tensor]:
        """The trained weights, by name in the model; they may be sharded."""
        return {name: parameter.detach() for name, parameter in self._parameters.items()}
