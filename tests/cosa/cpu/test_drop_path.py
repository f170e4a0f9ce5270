import pytest
import torch
from timm.layers import DropPath
from torch import Tensor, nn

from cosa.ops import add_branch


@pytest.mark.parametrize("rate", [0.3, 0.9])
def test_dropped_branches_are_not_computed(rate: float) -> None:
    """By many draws: what timm's expression gives on average, from the images that were kept alone."""
    x, weight = torch.arange(1.0, 9.0)[:, None].requires_grad_(), torch.tensor(3.0, requires_grad=True)
    drop_path, computed, total, rounds = DropPath(rate).train(), [], torch.zeros(8, 1), 2000
    torch.manual_seed(0)
    for _ in range(rounds):

        def branch(kept: Tensor) -> Tensor:
            computed.append(len(kept))
            return kept * weight

        found = add_branch(x, branch, drop_path)
        kept = (found != x)[:, 0]
        torch.testing.assert_close(found[kept], (x + x * weight / (1 - rate))[kept])
        assert computed[-1] == max(1, int(kept.sum()))
        total += found.detach()
    assert sum(computed) / rounds == pytest.approx(8 * (1 - rate), rel=0.05, abs=rate**8 + 0.05)
    torch.testing.assert_close(total / rounds, (x + x * weight).detach(), rtol=0.15, atol=0)


def test_a_branch_that_no_image_keeps_has_gradients_of_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight = torch.ones(4, 2, requires_grad=True), torch.tensor(3.0, requires_grad=True)
    monkeypatch.setattr(torch, "rand", torch.zeros)
    add_branch(x, lambda kept: kept * weight, DropPath(0.5).train()).sum().backward()
    assert weight.grad == 0
    assert x.grad is not None
    assert torch.equal(x.grad, torch.ones(4, 2))


def test_nothing_is_dropped_in_evaluation() -> None:
    x = torch.randn(4, 2)
    assert torch.equal(add_branch(x, torch.sin, DropPath(0.5).eval()), x + x.sin())
    assert torch.equal(add_branch(x, torch.sin, nn.Identity()), x + x.sin())


def test_on_other_devices_branches_are_computed_for_all_images() -> None:
    rows = []

    def branch(x: Tensor) -> Tensor:
        rows.append(len(x))
        return x

    assert add_branch(torch.empty(4, 2, device="meta"), branch, DropPath(0.9).train()).shape == (4, 2)
    assert rows == [4]


def test_in_a_graph_branches_are_computed_for_all_images() -> None:
    drop_path = DropPath(0.5).train()
    compiled = torch.compile(lambda x: add_branch(x, torch.sin, drop_path), backend="eager", fullgraph=True)
    x = torch.ones(64, 1)
    torch.manual_seed(0)
    expected = x + drop_path(x.sin())
    torch.manual_seed(0)
    assert torch.equal(compiled(x), expected)
