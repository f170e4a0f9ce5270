import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cosa.evaluation.caption_scorers.meteor import METEOR_JAR, PARAPHRASES
from cosa.evaluation.caption_tokens import PTB_JAR

EXPECTED = {"bleu1": 50.0, "meteor": 35.0291}
# Caption metrics with the Java programs of another folder.
PROGRAM = """
import sys
from pathlib import Path
from cosa.evaluation import caption_tokens, java
from cosa.evaluation.caption_scorers import meteor
folder = Path(sys.argv[1])
caption_tokens.PTB_JAR = folder / caption_tokens.PTB_JAR.name
meteor.METEOR_JAR = folder / meteor.METEOR_JAR.name
from cosa.evaluation.caption_metrics import caption_metrics
found = caption_metrics({"a": "a man sings in a caf\\u00e9"}, {"a": ["a person sings at the caf\\u00e9"]}, ["bleu1", "meteor"])
print({name: round(value, 4) for name, value in found.items()})
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "locale"),
    [
        ("plain", "C.UTF-8"),
        ("josé", "C"),
        ("日本", "POSIX"),
        ("with blank", "C"),
        ("a:b", "xx_XX.UTF-8"),
        ("100%25", "C.UTF-8"),
    ],
)
def test_caption_metrics_in_any_folder_and_locale(tmp_path: Path, name: str, locale: str) -> None:
    """Links to the files would not do: Java resolves them."""
    folder = tmp_path / name
    (folder / "data").mkdir(parents=True)
    for file in (PTB_JAR, METEOR_JAR):
        shutil.copy(file, folder)
    shutil.copy(METEOR_JAR.parent / PARAPHRASES, folder / "data")
    kept = {key: value for key, value in os.environ.items() if key not in ("LANG", "LC_CTYPE", "LC_ALL")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)],
        env={**kept, "LC_ALL": locale, "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout.strip() == str(EXPECTED), done.stderr[-1000:]
