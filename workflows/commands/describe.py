"""`cosa caption` and `cosa ask` say what files show, and answer questions about one."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosa.errors import DataError, UserError
from cosa.message_text import shown
from cosa.tasks.captioning import Captioning
from cosa.tasks.question_answering import QuestionAnswering
from workflows.commands.chosen_checkpoint import Choice
from workflows.terminal.console import print_fields
from workflows.terminal.plain_text import printable
from workflows.terminal.streams import say

if TYPE_CHECKING:
    from cosa.inference.predictor import Predictor


def show_captions(files: Sequence[Path], choice: Choice, settings: Mapping[str, Any], *, as_json: bool) -> None:
    """Print the caption of each file, a line each, as soon as it is there. Files that cannot be read are named.

    In a pipe: the file, a tab and the caption.

    Raises:
        UserError: some files cannot be read, or the checkpoint cannot be used.
    """
    from cosa.inference.predictor import load

    predictor = load(choice.checkpoint(Captioning.name), **settings)
    _warn_of_task(predictor.settings.task, Captioning.name)
    failed: set[int] = set()
    places = {id(file): place for place, file in enumerate(files)}

    def refuse(file: Any, error: DataError) -> None:
        failed.add(places[id(file)])
        say(f"error: {error}")

    captions = _in_order(predictor.captions(files, on_error=refuse), failed)
    if as_json:
        print(json.dumps([{"file": str(files[place]), "caption": text} for place, text in captions], indent=2))
    else:
        width = max(len(shown(file)) for file in files)
        _print_pairs(((str(files[place]), text) for place, text in captions), width)
    if failed:
        raise UserError(f"{len(failed)} of {len(files)} files could not be captioned")


def _in_order(found: Iterator[tuple[int, str]], left_out: Set[int]) -> Iterator[tuple[int, str]]:
    """Yield what is found by its place: pictures are captioned apart from videos, so that later ones may be done before."""
    waiting: dict[int, str] = {}
    following = 0
    for place, text in found:
        waiting[place] = text
        while following in waiting or following in left_out:
            if following in waiting:
                yield following, waiting.pop(following)
            following += 1
    yield from sorted(waiting.items())


def show_answers(file: Path, questions: Sequence[str], choice: Choice, settings: Mapping[str, Any], *, as_json: bool) -> None:
    """Print the answer to each question about a file, a line each. In a pipe: the question, a tab and the answer.

    Raises:
        UserError: the file cannot be read, or the checkpoint cannot be used.
    """
    from cosa.inference.predictor import load

    predictor = load(choice.checkpoint(QuestionAnswering.name), **settings)
    _warn_of_task(predictor.settings.task, QuestionAnswering.name)
    note_cut(predictor, questions)
    answers = predictor.answer(file, list(questions))
    if as_json:
        found = [{"question": question, "answer": answer} for question, answer in zip(questions, answers, strict=True)]
        print(json.dumps({"file": str(file), "answers": found}, indent=2))
    elif len(questions) == 1:
        print(answers[0])
    else:
        _print_pairs(zip(questions, answers, strict=True))


def _print_pairs(pairs: Iterable[tuple[str, str]], width: int = 0) -> None:
    """Print pairs, a line each: on a terminal in columns, of which the first has some width; else with a tab between."""
    if not sys.stdout.isatty():
        print_fields(pairs)
        return
    for left, right in pairs:
        print(f"{shown(left).ljust(width)}  {printable(right)}", flush=True)


def note_cut(predictor: Predictor, texts: Sequence[str]) -> None:
    """Say if a model will read only the beginnings of texts."""
    note = predictor.note_of_cut(texts)
    if note is not None:
        say(f"note: {note}")


def _warn_of_task(trained: str | None, wanted: str) -> None:
    if trained is not None and trained != wanted:
        say(f"warning: this checkpoint was last finetuned for {trained}, and perhaps never for {wanted}: expect little of it")
