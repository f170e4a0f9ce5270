"""METEOR (Denkowski and Lavie, 2014), with the Java program and the line protocol of pycocoevalcap."""

import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pycocoevalcap.meteor import meteor as meteor_package

from cosa.errors import DataError, UserError
from cosa.evaluation.caption_scorers.scorer import CaptionScorer, TokenizedCaptions
from cosa.evaluation.java import java_command, java_environment, java_failures

METEOR_JAR = Path(meteor_package.__file__).parent / meteor_package.METEOR_JAR
PARAPHRASES = "data/paraphrase-en.gz"  # beside it
# Aligning takes exponential time where captions repeat a word hundreds of times; others take milliseconds.
SECONDS_PER_CLIP = 300.0


class MeteorScorer(CaptionScorer):
    """A METEOR process that loads in the background: it needs 6 to 10 s, on a second core if there is one."""

    def __init__(self) -> None:
        # By its name alone, in its folder: Java cannot take a path with a colon. METEOR looks for its paraphrases beside
        # itself, but finds none in a folder with a blank or an accent: so they are named.
        options = ("-stdio", "-l", "en", "-norm", "-a", PARAPHRASES)
        command = java_command("-Xmx2G", "-jar", METEOR_JAR.name, "-", "-", *options)
        self.errors = tempfile.TemporaryFile()  # what the process writes to stderr  # noqa: SIM115
        try:
            with java_failures():
                self.process = subprocess.Popen(  # noqa: S603
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self.errors,
                    env=java_environment(),
                    cwd=METEOR_JAR.parent,
                )
        except UserError:
            self.errors.close()
            raise

    def score(self, predictions: TokenizedCaptions, references: TokenizedCaptions) -> dict[str, float]:
        """`meteor`, 0 to 1.

        Raises:
            DataError: the captions of a clip take too long, or too much memory.
            UserError: the Java process fails.

        """
        try:
            statistics = [self._compare(key, caption, references[key]) for key, [caption] in predictions.items()]
            answers = self._ask("EVAL", statistics, len(statistics) + 1)  # one for each clip, then the one of all clips
            value = float(answers[-1])
        except (OSError, ValueError) as error:  # A broken pipe, or an answer that is no number.
            self._end_process()
            said = self._said()[-500:].strip()
            raise UserError(
                f"METEOR's Java process failed (it needs up to 2 GB of memory; leave out the metric 'meteor' to continue "
                f"without it). Java said: {said or error}"
            ) from error
        return {"meteor": value}

    def close(self) -> None:
        """End the process, whatever its state."""
        self._end_process()
        self.errors.close()

    def _compare(self, key: str, caption: str, references: list[str]) -> str:
        """METEOR's statistics of a clip, which it adds up later."""
        words = max(len(text.split()) for text in (caption, *references))
        clip = f"clip {key!r}, whose longest caption has {words} words; shorten its captions, or leave out the metric 'meteor'"
        try:
            with self._bounded(f"METEOR does not end within {SECONDS_PER_CLIP:.0f} s for {clip}"):
                caption = caption.replace("|||", "").replace("  ", " ")
                return self._ask("SCORE", [*references, caption], 1)[0].strip()
        except OSError as error:
            self._end_process()
            if "OutOfMemoryError" in self._said():
                raise DataError(f"2 GB of memory are not enough for METEOR to compare {clip}") from error
            raise

    def _said(self) -> str:
        """What the process has written to stderr."""
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")

    def _ask(self, command: str, parts: list[str], lines: int) -> list[str]:
        """The lines that METEOR answers.

        Raises:
            OSError: the process has ended.
        """
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None and stdout is not None
        stdin.write((" ||| ".join([command, *parts]) + "\n").encode())
        stdin.flush()
        answers = [stdout.readline().decode() for _ in range(lines)]
        if not all(answers):
            raise BrokenPipeError("the process has ended")
        return answers

    @contextmanager
    def _bounded(self, problem: str) -> Iterator[None]:
        """End the process, and report the problem, if what is done takes too long."""
        too_late = threading.Event()

        def give_up() -> None:
            too_late.set()
            self.process.kill()

        timer = threading.Timer(SECONDS_PER_CLIP, give_up)
        timer.daemon = True
        timer.start()
        try:
            yield
        except OSError:
            if not too_late.is_set():
                raise
        finally:
            timer.cancel()
        if too_late.is_set():
            raise DataError(problem)

    def _end_process(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(OSError):  # Closing flushes, which fails when the process died half-way.
                if pipe is not None:
                    pipe.close()
