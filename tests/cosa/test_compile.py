"""torch.compile: both encoders are graphs without breaks, and compute the same."""

import pytest
import torch

from cosa.draws import Draws
from cosa.errors import UserError
from cosa.training.losses import StepLosses
from tests.cosa.test_plain import ALL, SETTINGS, questions
from tests.cosa.training.test_losses import batch_of
from tests.support import gradients, tiny_model


@pytest.mark.parametrize(
    ("family", "objectives"),
    [("swin", ALL), ("clip", ("qa",)), *((name, ("itc", "cap")) for name in ("siglip", "dinov2 with registers", "dinov3"))],
)
def test_losses_and_gradients_are_the_same(family: str, objectives: tuple[str, ...]) -> None:
    """A break of a graph is an error (fullgraph). The back end runs graphs as they are: inductor takes minutes."""
    found = []
    for compiled in (False, True):
        torch._dynamo.reset()
        model = tiny_model(family, dropout=0.0)
        if compiled:
            model.compile_encoders(backend="aot_eager", fullgraph=True)
        model.train()
        model.vision.eval()  # no stochastic depth: draws differ
        for rows in (4, 6) if objectives == ("qa",) else (4,):
            batch = questions(rows) if objectives == ("qa",) else batch_of(objectives, rows)
            losses = StepLosses(model, SETTINGS)(batch, Draws(torch.Generator().manual_seed(3)))
            sum(losses.values()).backward()  # type: ignore[union-attr]
        found.append((losses, gradients(model)))
    (plain, plain_gradients), (ours, ours_gradients) = found
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)
    assert ours_gradients.keys() == plain_gradients.keys()
    for name, gradient in plain_gradients.items():
        size = float(gradient.abs().max())
        torch.testing.assert_close(ours_gradients[name], gradient, atol=2e-4 * size + 1e-6, rtol=1e-3)


def test_a_missing_compiler_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(UserError, match=r"compile: torch.compile needs a C\+\+ compiler on a CPU; install g\+\+"):
        tiny_model().compile_encoders()
