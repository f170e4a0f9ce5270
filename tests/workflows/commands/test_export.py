"""`cosa export`: a folder that others, and the hub, understand."""

from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from typer.testing import CliRunner

import cosa
from cli import app
from cosa.errors import UserError
from tests.cosa.checkpoints.published import published_folder
from tests.cosa.inference.hub_server import ask, running_hub
from tests.cosa.inference.models import saved, videos
from tests.support import tiny_model
from tests.workflows.planning.planned import lay_out
from tests.workflows.records.test_checkpoint_card import described
from workflows.commands.export import export


def test_a_checkpoint_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = lay_out(tmp_path, monkeypatch)
    described("retrieval", here / "own", "license=mit")
    done = CliRunner().invoke(app, ["export", "own", "out"], catch_exceptions=False)
    assert done.exit_code == 0
    assert done.output.startswith(
        "out: MLmodel, README.md, config.json, model.safetensors, settings.json, spec.json, vocab.txt ("
    )
    card = ModelCard.load(here / "out" / "README.md")
    assert card.data.license == "mit"
    assert card.data.library_name == "cosa-experiments"
    clip = videos(here / "clip", 1)[0]
    own, exported = (cosa.load(here / name, device="cpu") for name in ("own", "out"))
    assert exported.caption(clip) == own.caption(clip)
    with pytest.raises(UserError, match="out exists; choose another folder"):
        export("own", Path("out"), push=None, public=False)


def test_a_published_checkpoint_becomes_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny_model()
    heads = model.config.text.num_attention_heads
    source = published_folder(tmp_path / "published", model, num_attention_heads=heads, video_resolution=32)
    export(str(source), tmp_path / "out", push=None, public=False)
    assert "config.json, model.safetensors, vocab.txt" in capsys.readouterr().out
    card = ModelCard.load(tmp_path / "out" / "README.md")
    assert "converted from published by COSA Experiments" in card.text
    clip = videos(tmp_path / "clips", 1)[0]
    vectors = [cosa.load(one, device="cpu", eval_frames=2).embed_video(clip).tolist() for one in (source, tmp_path / "out")]
    assert vectors[0] == vectors[1]


def test_it_is_put_on_a_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    own = saved(tmp_path / "own")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with running_hub({}) as (address, hub):
        ask(monkeypatch, address)
        export(str(own), tmp_path / "out", push="me/model", public=True)
        assert set(hub.models["me/model"]) == {path.name for path in (tmp_path / "out").iterdir()}
        assert hub.created[0]["visibility"] == "public"
    printed = capsys.readouterr()
    assert printed.out.endswith(f"{address}/me/model\n")
    assert "hf_secret" not in printed.out + printed.err


def test_nothing_is_left_of_what_failed(tmp_path: Path) -> None:
    own = saved(tmp_path / "own")
    (own / "README.md").write_text("---\nlicense: [\n---\n# card\n")
    with pytest.raises(UserError, match=r"own/README\.md: hubs cannot read its header"):
        export(str(own), tmp_path / "out", push=None, public=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own"]


def test_names_are_checked_before_anything_is_written(tmp_path: Path) -> None:
    own = saved(tmp_path / "own")
    with pytest.raises(UserError, match="'no such name' is no name on a hub; expected OWNER/NAME"):
        export(str(own), tmp_path / "out", push="no such name", public=False)
    with pytest.raises(UserError, match="--public says who may see it on the hub; name it there with --push"):
        export(str(own), tmp_path / "out", push=None, public=True)
    assert not (tmp_path / "out").exists()


def test_a_hub_that_is_away_or_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = saved(tmp_path / "own")
    ask(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(
        UserError, match=r"cannot be put on http://127\.0\.0\.1:9: .*out is complete: `hf upload me/model "
    ) as away:
        export(str(own), tmp_path / "out", push="me/model", public=False)
    assert "log in" not in str(away.value)
    with running_hub({}) as (address, hub):
        hub.refuses = True
        ask(monkeypatch, address)
        with pytest.raises(UserError, match=r"401.*log in with `hf auth login`"):
            export(str(own), tmp_path / "other", push="me/model", public=False)
    assert (tmp_path / "other" / "model.safetensors").is_file()
