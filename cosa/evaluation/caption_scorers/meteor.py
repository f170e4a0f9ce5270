"""METEOR (Denkowski and Lavie, 2014), with the Java program and the line protocol of pycocoevalcap."""

import subprocess
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from pycocoevalcap.meteor import meteor as meteor_package

from cosa.errors import UserError
from cosa.evaluation.caption_scorers.scorer import CaptionScorer, TokenizedCaptions
from cosa.evaluation.java import java_command, java_environment, java_failures

METEOR_JAR = Path(meteor_package.__file__).parent / meteor_package.METEOR_JAR


class MeteorScorer(CaptionScorer):
    """A METEOR process that loads in the background: it needs 6 to 10 s, on a second core if there is one."""

    def __init__(self) -> None:
        command = java_command("-Xmx2G", "-jar", str(METEOR_JAR), "-", "-", "-stdio", "-l", "en", "-norm")
        self.errors = tempfile.TemporaryFile()  # what the process writes to stderr  # noqa: SIM115
        try:
            with java_failures():
                self.process = subprocess.Popen(  # noqa: S603
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, env=java_environment()
                )
        except UserError:
            self.errors.close()
            raise

    def score(self, predictions: TokenizedCaptions, references: TokenizedCaptions) -> dict[str, float]:
        """`meteor`, 0 to 1.

        Raises:
            UserError: the Java process fails.

        """
        try:
            value, _ = _LineProtocol(self.process).compute_score(references, predictions)
        except (OSError, ValueError) as error:  # A broken pipe, or an answer that is no number.
            self._end_process()
            self.errors.seek(0)
            said = self.errors.read().decode(errors="replace")[-500:].strip()
            raise UserError(
                f"METEOR's Java process failed (it needs up to 2 GB of memory; leave out the metric 'meteor' to continue "
                f"without it). Java said: {said or error}"
            ) from error
        return {"meteor": float(value)}

    def close(self) -> None:
        """End the process, whatever its state."""
        self._end_process()
        self.errors.close()

    def _end_process(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(OSError):  # Closing flushes, which fails when the process died half-way.
                if pipe is not None:
                    pipe.close()


class _LineProtocol(meteor_package.Meteor):
    """METEOR's line protocol from pycocoevalcap, on a process that somebody else starts and ends."""

    def __init__(self, process: subprocess.Popen[bytes]):
        self.meteor_p = process
        self.lock = threading.Lock()

    def __del__(self) -> None:
        """Nothing: the original waits for its lock, for ever if scoring has failed."""
