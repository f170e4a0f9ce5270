"""What a plan notes besides what annotations say."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub.constants as of_hub
import pytest

from tests.workflows.planning.planned import finish, lay_out, plan
from workflows.planning.notes import notes_of

FETCHED = ("model.vision.pretrained=true", "model.text.pretrained=true")


def about_hub(*overrides: str) -> list[str]:
    return [note for note in notes_of(plan(*overrides)) if of_hub.ENDPOINT in note]


def test_weights_that_are_to_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path, monkeypatch)
    cache = tmp_path / "cache"
    monkeypatch.setattr(of_hub, "HF_HUB_CACHE", str(cache))
    assert about_hub() == []
    assert about_hub(*FETCHED) == [
        "pretrain fetches the weights of 'swin_base_patch4_window7_224' and 'bert-base-uncased' from https://huggingface.co: "
        "none are here yet"
    ]
    (cache / "models--google-bert--bert-base-uncased").mkdir(parents=True)
    (note,) = about_hub(*FETCHED)
    assert "the weights of 'swin_base_patch4_window7_224' from" in note
    (cache / "models--timm--swin_base_patch4_window7_224.ms_in22k_ft_in1k").mkdir()
    assert about_hub(*FETCHED) == []
    (cache / "models--google-bert--bert-base-uncased").rmdir()
    finish(plan(*FETCHED), "corpus", "made-frames", "pretrain")
    assert about_hub(*FETCHED) == [], "what is trained on is there"
