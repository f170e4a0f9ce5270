"""The script of docs/library.md works as it stands there, and needs neither Ray nor MLflow."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support import CAPTIONS

ROOT = Path(__file__).parents[2]
FORBIDDEN = """\
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("ray", "mlflow", "workflows", "yaml", "typer"):
            raise ImportError(f"{name} is imported")
sys.meta_path.insert(0, Refuse())
"""


def script() -> str:
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "library.md").read_text(encoding="utf-8"), re.DOTALL)
    return str(code)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    entries = []
    for number in range(16):
        clip = tmp_path / "frames" / f"v{number}"
        clip.mkdir(parents=True)
        for frame in range(1, 6):
            picture = generator.integers(0, 256, (64, 80, 3), dtype=np.uint8)
            Image.fromarray(picture).save(clip / f"frame_{frame:04d}.jpg")
        entries.append({"video_id": f"v{number}", "desc": CAPTIONS[number % len(CAPTIONS)]})
    for split in ("train", "test"):
        (tmp_path / f"{split}.json").write_text(json.dumps(entries))
    return tmp_path


def test_the_script_is_short() -> None:
    assert len([line for line in script().splitlines() if line.strip()]) <= 25


def test_the_script_trains_and_evaluates(folder: Path) -> None:
    command = [sys.executable, "-c", FORBIDDEN + script(), str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    *steps, metrics = done.stdout.splitlines()
    assert steps[-1].startswith("step 4/4  loss ")
    assert 0 <= json.loads(metrics.replace("'", '"'))["text_to_video_r1"] <= 100
