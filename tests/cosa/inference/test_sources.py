"""A checkpoint is found by a path, or fetched from a hub."""

from pathlib import Path

import pytest
from huggingface_hub import constants

import cosa
from cosa.errors import UserError
from cosa.inference.hub import upload
from cosa.inference.sources import SOURCES, local_checkpoint
from tests.cosa.inference.hub_server import ask, running_hub
from tests.cosa.inference.models import saved


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def test_a_folder_or_a_result_that_holds_one(tmp_path: Path) -> None:
    folder = saved(tmp_path / "result" / "checkpoint")
    assert local_checkpoint(folder) == folder
    assert local_checkpoint(str(tmp_path / "result")) == folder
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty is no checkpoint; expected a folder with .*hf:NAME or mlflow:NAME"):
        local_checkpoint(tmp_path / "empty")
    with pytest.raises(UserError, match="gone does not exist"):
        local_checkpoint(tmp_path / "gone")


def test_a_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = saved(tmp_path / "own")
    with running_hub({"me/model": {**contents(own), "evil.pkl": b"not fetched"}}) as (address, _):
        ask(monkeypatch, address)
        fetched = local_checkpoint("hf:me/model")
        assert contents(fetched) == contents(own)
        assert cosa.load("hf:me/model@main", device="cpu").settings.task == "captioning"
        with pytest.raises(UserError, match=f"hf:me/other cannot be fetched from {address}: .*404"):
            local_checkpoint("hf:me/other")
        with pytest.raises(UserError, match="hf:no such name! cannot be fetched"):
            local_checkpoint("hf:no such name!")
        with pytest.raises(UserError, match="hf:@main names no model; expected hf:OWNER/NAME"):
            local_checkpoint("hf:@main")


def test_what_is_no_checkpoint_on_a_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    with running_hub({"me/text": {"README.md": b"text"}}) as (address, _):
        ask(monkeypatch, address)
        with pytest.raises(UserError, match="hf:me/text is no checkpoint of this program"):
            local_checkpoint("hf:me/text")


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    ask(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"hf:me/model cannot be fetched from http://127\.0\.0\.1:9"):
        local_checkpoint("hf:me/model")


def test_what_is_put_on_a_hub_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = saved(tmp_path / "own")
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    with running_hub({}) as (address, hub):
        ask(monkeypatch, address)
        assert upload(own, "me/new") == f"{address}/me/new"
        assert hub.created[0]["visibility"] == "private"
        assert contents(local_checkpoint("hf:me/new")) == contents(own)


def test_a_source_can_be_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved(tmp_path / "own")
    SOURCES["shelf"] = "tests.cosa.inference.test_sources:from_shelf"
    monkeypatch.setattr("tests.cosa.inference.test_sources.from_shelf", lambda name, storage: folder, raising=False)
    try:
        assert local_checkpoint("shelf:any") == folder
    finally:
        del SOURCES["shelf"]


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(UserError, match="a checkpoint of type NoneType; expected a path, or hf:NAME or mlflow:NAME"):
        local_checkpoint(None)  # type: ignore[arg-type]
