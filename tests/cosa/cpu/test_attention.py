import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cosa.ops import attend
from tests.cosa.without_private import without


def inputs(dtype: torch.dtype = torch.float64) -> tuple[list[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 8))
    mask = torch.rand(2, 1, 5, 7, generator=generator) > 0.3
    mask[..., 0] = True
    return [torch.randn(s, dtype=dtype, generator=generator).requires_grad_() for s in shapes], mask


@pytest.mark.parametrize("masked", [True, False])
def test_gradients(masked: bool) -> None:
    tensors, mask = inputs()

    def seeded(*tensors: Tensor) -> Tensor:
        torch.manual_seed(1)
        return attend(*tensors, mask if masked else None, 0.25)  # type: ignore[arg-type, misc]

    assert torch.autograd.gradcheck(seeded, tensors)


def test_without_dropout_and_on_average_it_is_plain_attention() -> None:
    tensors, mask = inputs()
    with torch.no_grad():
        plain = F.scaled_dot_product_attention(*tensors, attn_mask=mask)  # type: ignore[misc]
        torch.testing.assert_close(attend(*tensors, mask, 0.0), plain)  # type: ignore[arg-type, misc]
        torch.manual_seed(0)
        mean = sum(attend(*tensors, mask, 0.25) for _ in range(3000)) / 3000  # type: ignore[arg-type, misc]
    torch.testing.assert_close(mean, plain, atol=0.08, rtol=0.0)


def test_small_types_are_kept() -> None:
    tensors, mask = inputs(torch.bfloat16)
    found = attend(*tensors, mask, 0.1)  # type: ignore[arg-type, misc]
    found.sum().backward()
    assert found.dtype == torch.bfloat16
    assert all(tensor.grad is not None and tensor.grad.dtype == torch.bfloat16 for tensor in tensors)


def test_the_same_without_the_private_softmax(caplog: pytest.LogCaptureFixture) -> None:
    def results() -> list[Tensor]:
        tensors, mask = inputs()
        torch.manual_seed(1)
        found = attend(*tensors, mask, 0.25)  # type: ignore[arg-type, misc]
        return [found, *torch.autograd.grad(found.square().sum(), tensors)]

    expected = results()
    with without("_softmax_backward_data"):
        torch.testing.assert_close(results(), expected)
        results()
    assert [record.message for record in caplog.records if "torch._softmax_backward_data" in record.message] == caplog.messages
    assert len(caplog.messages) == 1
