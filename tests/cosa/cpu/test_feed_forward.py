import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cosa.cpu.feed_forward import feed_forward
from cosa.cpu.linear import use_fast_linear
from tests.cosa.cpu.test_linear import SHAPES, results


@pytest.mark.parametrize("shape", SHAPES)
def test_feed_forward(shape: tuple[int, ...]) -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(7, 28), nn.Linear(28, 7)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(F.gelu(self.first(x)))

    class Ours(Plain):
        def forward(self, x: Tensor) -> Tensor:
            return feed_forward(x, self.first, self.second)

    plain, ours = Plain(), Ours()
    ours.load_state_dict(plain.state_dict())
    use_fast_linear(ours)
    x = torch.randn(shape)
    for expected, found in zip(results(plain, x), results(ours, x), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
