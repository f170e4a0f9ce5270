"""Models that are loaded draw no random weights, and hold nothing but what the file says."""

from pathlib import Path

import pytest
import torch

from cosa.checkpoints.loading import load_model
from cosa.checkpoints.native import save_checkpoint
from cosa.checkpoints.unset_weights import UnsetWeights
from cosa.objectives.heads import model_of
from tests.cosa.checkpoints.published import published_folder
from tests.support import VISION_SIZES, tiny_config, tiny_model


@pytest.mark.parametrize("family", VISION_SIZES)
def test_a_loaded_model_is_what_was_saved_whatever_memory_held(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model(family)
    save_checkpoint(model, tmp_path)
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    torch.use_deterministic_algorithms(True)  # Memory that nothing fills holds NaN then.
    try:
        loaded = load_model(tmp_path)
    finally:
        torch.use_deterministic_algorithms(False)
    expected = {**model.state_dict(), **dict(model.named_buffers())}
    found = {**loaded.state_dict(), **dict(loaded.named_buffers())}
    assert found.keys() == expected.keys()
    assert [name for name, value in expected.items() if not torch.equal(value, found[name])] == []


def test_so_is_a_published_one(tmp_path: Path) -> None:
    model = tiny_model()
    loaded = load_model(published_folder(tmp_path, model, video_resolution=32))
    expected = model.state_dict()
    assert [name for name, value in loaded.state_dict().items() if not torch.equal(value, expected[name])] == []


def test_no_random_number_is_drawn_inside_and_the_same_ones_outside(tmp_path: Path) -> None:
    save_checkpoint(tiny_model(), tmp_path)
    torch.manual_seed(3)
    with UnsetWeights():
        model_of(tiny_config().model_copy(update={"heads": ()}))
        linear = torch.nn.Linear(2, 2)
        before = linear.weight.clone()
        torch.nn.init.normal_(tensor=linear.weight)
        assert torch.equal(linear.weight, before)
    first = tiny_model(seed=5).state_dict()
    load_model(tmp_path)
    again = tiny_model(seed=5).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in first.items())
