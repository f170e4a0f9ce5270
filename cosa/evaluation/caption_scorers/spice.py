"""SPICE (Anderson et al., 2016), with the Java program in pycocoevalcap and a parser that a person has to add."""

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pycocoevalcap.spice import spice as spice_package

from cosa.errors import UserError
from cosa.evaluation.caption_scorers.scorer import CaptionScorer, ClipScores, TokenizedCaptions
from cosa.evaluation.java import java_command, java_environment, java_failures

SPICE_FOLDER = Path(spice_package.__file__).parent  # of spice-1.0.jar, and of `lib` with most of what it needs
OWN_FOLDER = Path("~/.local/share/cosa/spice")  # where a person may put the parser instead
PARSER_JARS = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")
SOURCE = "https://nlp.stanford.edu/software/stanford-corenlp-full-2015-12-09.zip"
MAIN = "edu.anu.spice.SpiceScorer"
# Newer Java closes its own packages to libraries that look into objects, as SPICE's parser does.
OPENED = tuple(f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in ("lang", "util", "math", "net", "text"))


class SpiceScorer(CaptionScorer):
    """The F-score of the scene graphs of a caption and of its references, averaged over clips."""

    def __init__(self) -> None:
        jars = [SPICE_FOLDER / spice_package.SPICE_JAR, *sorted((SPICE_FOLDER / "lib").glob("*.jar"))]
        present = {path.name for path in jars}
        self.jars = [*jars, *(path for path in map(_parser_jar, PARSER_JARS) if path.name not in present)]

    def score(self, predictions: TokenizedCaptions, references: TokenizedCaptions) -> dict[str, float]:
        """`spice`, 0 to 1.

        Raises:
            UserError: the Java process fails, or does not score every clip.

        """
        return dict(self.score_clips(predictions, references).corpus)

    def score_clips(self, predictions: TokenizedCaptions, references: TokenizedCaptions) -> ClipScores:
        """The metric is the mean over clips."""
        clips = [
            {"image_id": number, "test": caption, "refs": references[key]}
            for number, (key, [caption]) in enumerate(predictions.items())
        ]
        found = self._ask(clips)
        of_clips = np.array([found.get(clip["image_id"], np.nan) for clip in clips])
        lacking = np.flatnonzero(~np.isfinite(of_clips))
        if lacking.size:
            first = list(predictions)[lacking[0]]
            raise UserError(f"SPICE gives no score for {lacking.size} of {len(clips)} clips, such as {first!r}")
        return ClipScores({"spice": float(np.mean(of_clips))}, {"spice": of_clips})

    def _ask(self, clips: Sequence[dict[str, object]]) -> dict[object, float]:
        """F-scores by number of the clip. All files lie in a folder of their own: a class path cannot hold every path."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for jar in self.jars:
                (folder / jar.name).symlink_to(jar.absolute())
            (folder / "clips.json").write_text(json.dumps(clips), encoding="utf-8")
            arguments = ("clips.json", "-out", "scores.json", "-subset", "-silent")
            with java_failures():
                process = subprocess.run(  # noqa: S603
                    java_command("-Xmx8G", *OPENED, "-cp", "*", MAIN, *arguments),
                    capture_output=True, env=java_environment(), cwd=folder, check=False,
                )  # fmt: skip
            try:
                results = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
                return {one["image_id"]: float(one["scores"]["All"]["f"]) for one in results}
            except (OSError, ValueError, KeyError, TypeError) as error:
                said = process.stderr.decode(errors="replace")[-500:].strip()
                raise UserError(
                    f"SPICE's Java process failed with exit code {process.returncode} (it needs up to 8 GB of memory; leave "
                    f"out the metric 'spice' to continue without it). Java said: {said or error}"
                ) from error


def _parser_jar(name: str) -> Path:
    """One of the parser's two files.

    Raises:
        UserError: it is in neither folder; the message says what to put where.
    """
    folders = (OWN_FOLDER.expanduser(), SPICE_FOLDER / "lib")
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    raise UserError(
        f"SPICE needs {name}, which pycocoevalcap does not bring: take {' and '.join(PARSER_JARS)} out of {SOURCE} and put "
        f"both into {folders[0]}, or leave out the metric 'spice'"
    )
