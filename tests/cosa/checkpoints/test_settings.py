"""What a checkpoint says about its training, and what the options of the published code say."""

import json
from pathlib import Path
from typing import Any

import pytest

from cosa.checkpoints.native import WEIGHTS
from cosa.checkpoints.settings import SETTINGS, read_origin, read_settings
from cosa.errors import UserError


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    (tmp_path / WEIGHTS).write_bytes(b"weights")
    return tmp_path


def test_checkpoints_from_before_say_nothing(checkpoint: Path) -> None:
    assert read_settings(checkpoint) is None
    assert read_settings(checkpoint / "nothing") is None


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000], ids=["cut", "not UTF-8", "too deep"])
def test_damaged_settings_are_reported_in_one_sentence(checkpoint: Path, content: bytes) -> None:
    (checkpoint / SETTINGS).write_bytes(content)
    with pytest.raises(UserError, match=r"settings\.json cannot be read .*copy it again from where the checkpoint comes from"):
        read_settings(checkpoint)


def test_settings_are_a_mapping(checkpoint: Path) -> None:
    (checkpoint / SETTINGS).write_text("[1]")
    with pytest.raises(UserError, match="expected a mapping of fields, found list"):
        read_settings(checkpoint)


@pytest.mark.parametrize(
    ("origin", "message"),
    [
        (None, "origin: expected a mapping of fields, found null"),
        ("text", 'origin: expected a mapping of fields, found "text"'),
        (["captioning"], "origin: expected a mapping of fields, found "),
        ({"tasks": "captioning"}, r"origin\.tasks: Input should be a valid list, found 'captioning'"),
        ({"tasks": [3]}, r"origin\.tasks\.0: Input should be a valid string, found 3"),
        ({"metrics": {"cider": "high"}}, r"origin\.metrics\.cider: .*number, found 'high'"),
        ({"experiment": None}, r"origin\.experiment: .*string, found None"),
    ],
)
def test_an_origin_that_is_none_is_refused(checkpoint: Path, origin: Any, message: str) -> None:
    (checkpoint / SETTINGS).write_text(json.dumps({"origin": origin}))
    for read in (read_settings, read_origin):
        with pytest.raises(UserError, match=rf"settings\.json: {message}.*; copy settings\.json again"):
            read(checkpoint)


def test_an_origin_may_say_less_or_more(checkpoint: Path) -> None:
    assert read_origin(checkpoint).tasks == []
    settings = {"origin": {"tasks": ["captioning"], "metrics": {"cider": 1}, "of_tomorrow": [1]}}
    (checkpoint / SETTINGS).write_text(json.dumps(settings))
    assert read_origin(checkpoint).tasks == ["captioning"]
    assert read_settings(checkpoint) == settings
