"""`cosa import-checkpoint`, and published checkpoints where a spec names one."""

import sys
from pathlib import Path

import pytest
import torch

import cli
from cosa.checkpoints.loading import load_model
from cosa.checkpoints.native import load_checkpoint
from cosa.errors import UserError
from tests.cosa.checkpoints.published import published_folder, published_state
from tests.support import FAMILIES, Family, tiny_model
from tests.workflows.planning.planned import finish, lay_out, plan
from workflows.commands.import_checkpoint import import_checkpoint


def reason(override: str) -> str:
    """Why the pretrain stage runs, or why not."""
    return next(step.reason for step in plan(override).steps if step.name == "pretrain")


FLAGS: dict[Family, dict[str, int]] = {"swin": {"resolution": 32}, "clip": {"vision_heads": 2}}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_file_becomes_a_checkpoint_of_ours(tmp_path: Path, family: Family, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny_model(family)
    torch.save(published_state(model), tmp_path / "model.pt")
    import_checkpoint(tmp_path / "model.pt", tmp_path / "out", text_heads=4, **FLAGS[family])
    found = load_checkpoint(tmp_path / "out")
    for name, value in model.state_dict().items():
        assert torch.equal(found.state_dict()[name], value), name
    said = capsys.readouterr().out
    assert "keys used" in said
    assert "unused: the same tensor as the weight that it is tied to" in said
    assert f"{model.config.vision.family.title} at 32 px, BERT 2 x 32, 4 frame embeddings" in said


def test_positions_are_interpolated_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(published_state(tiny_model("clip")), tmp_path / "model.pt")
    import_checkpoint(tmp_path / "model.pt", tmp_path / "out", text_heads=4, vision_heads=2, resolution=48, frame_positions=6)
    assert capsys.readouterr().out.count("interpolated") == 2
    found = load_checkpoint(tmp_path / "out")
    assert (found.config.vision.resolution, found.config.frame_positions) == (48, 6)


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    folder = published_folder(tmp_path / "cosa", tiny_model(), video_resolution=32)
    monkeypatch.setattr(
        sys, "argv", ["cosa", "import-checkpoint", str(folder), str(tmp_path / "out"), "--frame-positions", "2"]
    )
    cli.main()
    assert "2 frame embeddings" in capsys.readouterr().out
    assert load_model(tmp_path / "out").config.frame_positions == 2


def test_sources_and_targets_that_make_no_sense(tmp_path: Path) -> None:
    folder = published_folder(tmp_path / "cosa", tiny_model(), video_resolution=32)
    import_checkpoint(folder, tmp_path / "out")
    for source, target, message in (
        (tmp_path / "out", tmp_path / "new", "is a checkpoint of ours already"),
        (tmp_path, tmp_path / "new", "is not a checkpoint; expected a published folder"),
        (tmp_path / "gone.pt", tmp_path / "new", f"^no file or folder {tmp_path}/gone.pt$"),
        (folder, tmp_path / "out", "is taken"),
    ):
        with pytest.raises(UserError, match=message):
            import_checkpoint(source, target)
    with pytest.raises(UserError, match=r"^no file or folder .*/hps\.json$"):
        import_checkpoint(folder, tmp_path / "new", options=tmp_path / "hps.json")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("start", ["./cosa", "./cosa/ckpt/model_step_7.pt"])
def test_a_spec_may_start_from_a_published_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str) -> None:
    lay_out(tmp_path, monkeypatch)
    override = f"stages.pretrain.init_from={start}"
    assert any("no checkpoint" in line for line in plan(override).missing)
    folder = published_folder(Path("cosa"), tiny_model(), steps=(7,))
    assert plan(override).missing == ()
    finish(plan(override))
    assert plan(override).to_run == ()
    (folder / "ckpt" / "model_step_7.pt").write_bytes(b"other weights")
    assert reason(override) == f"data changed: checkpoint {start}"


def test_the_last_step_of_a_published_folder_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path, monkeypatch)
    folder = published_folder(Path("cosa"), tiny_model(), steps=(7,))
    finish(plan("stages.pretrain.init_from=./cosa"))
    (folder / "ckpt" / "model_step_30.pt").write_bytes(b"a later step")
    assert reason("stages.pretrain.init_from=./cosa") == "data changed: checkpoint ./cosa"
