"""`cosa doctor` on this installation, which works."""

from pathlib import Path

import pytest

from tests.end_to_end.commands import none_left, run

pytestmark = pytest.mark.slow


def test_every_part_works(tmp_path: Path) -> None:
    done = run("doctor", f"--storage={tmp_path}", COSA_TEST_STORAGE=str(tmp_path))
    assert done.code == 0, done.output
    for part in ("storage", "torch", "video", "java", "mlflow", "ray"):
        assert f"✓ {part}" in done.output
    assert "GiB free" in done.output
    assert none_left(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
