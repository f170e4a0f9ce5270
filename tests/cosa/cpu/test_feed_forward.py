import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cosa.ops import feed_forward, use_fast_linear
from tests.cosa.cpu.test_linear import SHAPES, results
from tests.cosa.without_private import without


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(7, 28), nn.Linear(28, 7)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(F.gelu(self.first(x)))


class Ours(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return feed_forward(x, self.first, self.second)


def pair() -> tuple[Plain, Ours]:
    plain, ours = Plain(), Ours()
    ours.load_state_dict(plain.state_dict())
    use_fast_linear(ours)
    return plain, ours


@pytest.mark.parametrize("shape", SHAPES)
def test_feed_forward(shape: tuple[int, ...]) -> None:
    plain, ours = pair()
    x = torch.randn(shape)
    for expected, found in zip(results(plain, x), results(ours, x), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["ops.aten.gelu_backward.grad_input", "ops.mkldnn._linear_pointwise"])
def test_the_same_without_a_private_interface(name: str, caplog: pytest.LogCaptureFixture) -> None:
    plain, ours = pair()
    x = torch.randn(3, 5, 7)
    with without(name):
        for _ in range(2):
            for expected, found in zip(results(plain, x), results(ours, x), strict=True):
                torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
            plain.zero_grad()
            ours.zero_grad()
    assert [f"has no torch.{name}: slower" in message for message in caplog.messages] == [True]
