"""What a checkpoint says about its training, and what the options of the published code say."""

from pathlib import Path

import pytest

from cosa.checkpoints.native import WEIGHTS
from cosa.checkpoints.settings import SETTINGS, read_settings
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
