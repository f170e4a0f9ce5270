import pytest
import torch
from torch import Tensor

from cosa.cpu.dropout import draw_kept
from cosa.ops import dropout


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_share_that_is_dropped(rate: float) -> None:
    torch.manual_seed(0)
    kept = draw_kept(torch.Size([1500, 1001]), rate).float()
    assert float(kept.mean()) == pytest.approx(1 - rate, abs=1e-3)
    neighbours = (kept[:, 1:] * kept[:, :-1]).mean()
    assert float(neighbours) == pytest.approx((1 - rate) ** 2, abs=2e-3)  # two come from one draw


@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (0, 4)])
def test_any_shape(shape: tuple[int, ...]) -> None:
    assert draw_kept(torch.Size(shape), 0.5).shape == shape


def test_gradients() -> None:
    def seeded(x: Tensor) -> Tensor:
        torch.manual_seed(1)
        return dropout(x, 0.3)

    assert torch.autograd.gradcheck(seeded, (torch.randn(5, 7, dtype=torch.float64, requires_grad=True),))


def test_without_a_rate_nothing_changes() -> None:
    x = torch.randn(3, 4)
    assert torch.equal(dropout(x, 0.0), x)


def test_draws_follow_the_seed() -> None:
    def drawn(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return draw_kept(torch.Size([50]), 0.5)

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))
