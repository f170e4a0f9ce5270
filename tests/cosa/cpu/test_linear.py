import pytest
import torch
from torch import Tensor, nn

from cosa.cpu import linear
from cosa.cpu.linear import has_onednn, takes_onednn
from cosa.ops import Linear, packed_weights, use_fast_linear
from tests.cosa.without_private import without

SHAPES = [(3, 5, 7), (1, 7), (0, 7), (300, 7), (2, 3, 4, 7)]


def pair(bias: bool = True, sizes: tuple[int, int] = (7, 11)) -> tuple[nn.Linear, Linear]:
    plain, ours = nn.Linear(*sizes, bias=bias), nn.Linear(*sizes, bias=bias)
    ours.load_state_dict(plain.state_dict())
    return plain, Linear.of(ours)


def results(call: nn.Module, x: Tensor) -> list[Tensor | None]:
    """Output and all gradients."""
    x = x.clone().requires_grad_()
    y = call(x)
    y.backward(torch.arange(y.numel(), dtype=y.dtype).view(y.shape).cos())
    return [y, x.grad, *(parameter.grad for parameter in call.parameters())]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", [(7, 11), (7, 3)])
@pytest.mark.parametrize("all_gradients", [True, False])
def test_outputs_and_gradients_are_those_of_torch(
    shape: tuple[int, ...], bias: bool, sizes: tuple[int, int], all_gradients: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "multiplies_gradients", lambda: all_gradients)
    plain, ours = pair(bias, sizes)
    x = torch.randn(shape)
    for expected, found in zip(results(plain, x), results(ours, x), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_packed_weights_give_the_same(shape: tuple[int, ...]) -> None:
    plain, ours = pair()
    x = torch.randn(shape)
    with torch.no_grad():
        with packed_weights(ours), packed_weights(ours):
            assert (ours.packed is not None) == has_onednn()
            torch.testing.assert_close(ours(x), plain(x), atol=1e-5, rtol=1e-5)
        assert ours.packed is None


def test_only_float32_on_a_cpu_without_autocast_goes_to_onednn() -> None:
    x, weight = torch.randn(2, 7), torch.randn(3, 7)
    assert takes_onednn(x, weight) == has_onednn()
    assert not takes_onednn(x.double(), weight.double())
    assert not takes_onednn(x.to("meta"), weight.to("meta"))
    assert not takes_onednn(x[:0], weight)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not takes_onednn(x, weight)
        assert pair()[1](torch.randn(2, 7)).dtype == torch.bfloat16


def test_strided_inputs() -> None:
    plain, ours = pair()
    for x in (torch.randn(7, 5).t(), torch.randn(5, 1, 7).expand(5, 4, 7), torch.randn(4, 9, 7)[:, ::2]):
        torch.testing.assert_close(ours(x), plain(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("sizes", [(7, 11), (11, 7)])
def test_gradients_that_are_one_number_seen_often(sizes: tuple[int, int]) -> None:
    plain, ours = pair(sizes=sizes)
    x = torch.randn(5, sizes[0])
    for layer in (plain, ours):
        layer(x).sum().backward()
    for expected, found in zip(plain.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad, atol=1e-5, rtol=1e-5)


def test_frozen_weights_get_no_gradient() -> None:
    _, ours = pair()
    ours.weight.requires_grad_(False)
    x = torch.randn(3, 7, requires_grad=True)
    ours(x).sum().backward()
    assert ours.weight.grad is None
    assert ours.bias.grad is not None
    assert x.grad is not None


@pytest.mark.parametrize("name", ["_linear_pointwise", "_reorder_linear_weight"])
def test_the_same_without_a_private_operator(name: str, caplog: pytest.LogCaptureFixture) -> None:
    plain, ours = pair()
    x = torch.randn(3, 7)
    with without(f"ops.mkldnn.{name}"):
        for expected, found in zip(results(plain, x), results(ours, x), strict=True):
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        with torch.no_grad(), packed_weights(ours):
            torch.testing.assert_close(ours(x), plain(x), atol=1e-5, rtol=1e-5)
    assert [f"has no torch.ops.mkldnn.{name}: slower" in message for message in caplog.messages] == [True]


def test_layers_are_replaced_with_their_own_parameters() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Sequential(nn.Linear(4, 2, bias=False)), nn.Bilinear(2, 2, 2))
    before = dict(model.named_parameters())
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    use_fast_linear(model.eval())
    assert torch.equal(torch.rand(1), expected)  # nothing was drawn
    after = dict(model.named_parameters())
    assert list(after) == list(before)
    assert all(after[name] is parameter for name, parameter in before.items())
    assert [type(module) for module in model.modules() if isinstance(module, nn.Linear)] == [Linear, Linear]
    assert not any(module.training for module in model.modules())
