"""docs/inference.ipynb runs as it stands, from the first cell to the last."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cosa.test_library import FORBIDDEN

ROOT = Path(__file__).parents[1]
NOTEBOOK = json.loads((ROOT / "docs" / "inference.ipynb").read_text(encoding="utf-8"))
CODE = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def test_every_cell_shows_what_it_gave() -> None:
    assert all(cell["outputs"] or cell["execution_count"] for cell in CODE)
    kinds = {output["output_type"] for cell in CODE for output in cell["outputs"]}
    assert kinds == {"execute_result"}, "no error, and no warning of the machine that ran it"


@pytest.mark.slow
def test_it_runs_without_ray_and_mlflow(tmp_path: Path) -> None:
    cells = ["".join(cell["source"]) for cell in CODE]
    check = "assert len(index) == 116 and len(hits) == 3 and len(losses) == 8, (index, hits, losses)"
    script = "\n\n".join([FORBIDDEN, *cells, check])
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=900,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
