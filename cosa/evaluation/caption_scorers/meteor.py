"""METEOR (Denkowski and Lavie, 2014), with the Java program and the line protocol of pycocoevalcap."""

import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pycocoevalcap.meteor import meteor as meteor_package

from cosa.errors import DataError, UserError
from cosa.evaluation.caption_scorers.scorer import CaptionScorer, ClipScores, TokenizedCaptions
from cosa.evaluation.java import java_command, java_environment, java_failures

METEOR_JAR = Path(meteor_package.__file__).parent / meteor_package.METEOR_JAR
PARAPHRASES = "data/paraphrase-en.gz"  # beside it
# Aligning takes exponential time where captions repeat a word hundreds of times; others take milliseconds.
SECONDS_PER_CLIP = 300.0
# METEOR 1.5's weights for English: of precision and recall, of how matches are torn into chunks, of content words against
# function words, and of matches of the same word, stem, synonym and paraphrase.
ALPHA, BETA, GAMMA, DELTA = 0.85, 0.2, 0.6, 0.75
KINDS_OF_MATCHES = np.array([1.0, 0.6, 0.8, 0.6])
STATISTICS = tuple(f"meteor_{number}" for number in range(1, 24))  # numbers that METEOR says of a clip


class MeteorScorer(CaptionScorer):
    """A METEOR process that loads in the background: it needs 6 to 10 s, on a second core if there is one."""

    statistics = STATISTICS

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
        return dict(self.score_clips(predictions, references).corpus)

    def score_clips(self, predictions: TokenizedCaptions, references: TokenizedCaptions) -> ClipScores:
        """Also each clip's own METEOR, whose mean is another number than the metric, and counts that add up to the metric."""
        try:
            statistics = [self._compare(key, caption, references[key]) for key, [caption] in predictions.items()]
            answers = self._ask("EVAL", statistics, len(statistics) + 1)  # one for each clip, then the one of all clips
            *of_clips, value = map(float, answers)
            counts = np.array([[float(number) for number in line.split()] for line in statistics])
        except (OSError, ValueError) as error:  # A broken pipe, or an answer that is no number.
            self._end_process()
            said = self._said()[-500:].strip()
            raise UserError(
                f"METEOR's Java process failed (it needs up to 2 GB of memory; leave out the metric 'meteor' to continue "
                f"without it). Java said: {said or error}"
            ) from error
        is_equal = (counts[:, 21:23] == counts[:, 0:2]).all(axis=1) & (counts[:, 20] == 1)
        counts[is_equal, 20] = 0  # METEOR, too, adds up no chunk of a caption that equals its reference.
        columns = dict(zip(STATISTICS, counts.T, strict=True))
        return ClipScores({"meteor": value}, {"meteor": of_clips}, columns)

    @classmethod
    def from_sums(cls, sums: NDArray[np.float64]) -> Mapping[str, NDArray[np.float64]]:
        """METEOR 1.5 of counts: the harmonic mean of weighted precision and recall, less for matches in many chunks.

        Lengths and function words of both sides come first, then for each kind of match the content words and the function
        words that match, on either side, then chunks, and matching words of either side.
        """
        assert sums.shape[1] == len(STATISTICS)
        lengths, function_words, chunks, matching = sums[:, 0:2], sums[:, 2:4], sums[:, 20], sums[:, 21:23]
        of_kinds = sums[:, 4:20].reshape(-1, 4, 2, 2)  # (sets, kinds, content or function words, prediction or reference)
        matches = np.einsum("k,nkws,w->ns", KINDS_OF_MATCHES, of_kinds, [DELTA, 1 - DELTA])
        weights = DELTA * (lengths - function_words) + (1 - DELTA) * function_words
        with np.errstate(divide="ignore", invalid="ignore"):
            precision, recall = (matches / weights).T
            mean = 1 / ((1 - ALPHA) / precision + ALPHA / recall)
            torn = chunks / matching.mean(axis=1)
        penalty = GAMMA * torn**BETA
        return {"meteor": np.nan_to_num(mean * (1 - penalty))}

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
