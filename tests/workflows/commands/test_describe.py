"""`cosa caption` and `cosa ask`, through the command line."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import cosa
from cli import app
from cosa.errors import UserError
from tests.cosa.inference.models import saved, videos
from workflows.commands.describe import _in_order


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("here")
    saved(folder / "checkpoint")
    saved(folder / "answers", task="question_answering")
    videos(folder / "clips", 3)
    return folder


def run(here: Path, *words: object, checkpoint: str = "checkpoint") -> Result:
    given = [*map(str, words), "--checkpoint", str(here / checkpoint)]
    return CliRunner().invoke(app, given, catch_exceptions=True)


def clips(here: Path) -> list[Path]:
    return sorted((here / "clips").iterdir())


def test_a_caption_is_a_line_with_its_file(here: Path) -> None:
    done = run(here, "caption", *clips(here))
    captions = cosa.load(here / "checkpoint", device="cpu").caption(clips(here))
    assert done.stdout.splitlines() == [f"{file}\t{text}" for file, text in zip(clips(here), captions, strict=True)]
    assert done.exit_code == 0
    beams = cosa.load(here / "checkpoint", device="cpu", eval_frames=3).caption(clips(here)[0], beam_size=4)
    assert run(here, "caption", clips(here)[0], "--beam", 4, "--frames", 3).stdout == f"{clips(here)[0]}\t{beams}\n"


def test_bad_files_are_named_and_the_others_captioned(here: Path) -> None:
    files = [here / "gone.mp4", clips(here)[0], here / "checkpoint" / "config.json", clips(here)[1]]
    done = run(here, "caption", *files, "--json")
    assert [one["file"] for one in json.loads(done.stdout)] == [str(files[1]), str(files[3])]
    assert "gone.mp4 is missing" in done.stderr
    assert "config.json is not a video" in done.stderr
    assert isinstance(done.exception, UserError)
    assert str(done.exception) == "2 of 4 files could not be captioned"


def test_captions_stand_in_the_order_of_the_files() -> None:
    left_out: set[int] = {1}
    found = iter([(2, "c"), (0, "a"), (5, "f"), (4, "e"), (3, "d")])
    assert list(_in_order(found, left_out)) == [(0, "a"), (2, "c"), (3, "d"), (4, "e"), (5, "f")]
    begun = _in_order(iter([(0, "a"), (2, "c")]), set())
    assert next(begun) == (0, "a"), "what is known is not held back"


def test_one_answer_is_the_answer_alone(here: Path) -> None:
    expected = cosa.load(here / "answers", device="cpu").answer(clips(here)[0], ["what is it?", "who sings?"])
    done = run(here, "ask", clips(here)[0], "what is it?", checkpoint="answers")
    assert done.stdout == f"{expected[0]}\n"
    done = run(here, "ask", clips(here)[0], "what is it?", "who sings?", checkpoint="answers")
    assert done.stdout == f"what is it?\t{expected[0]}\nwho sings?\t{expected[1]}\n"
    done = run(here, "ask", clips(here)[0], "what is it?", "--json", checkpoint="answers")
    found = {"file": str(clips(here)[0]), "answers": [{"question": "what is it?", "answer": expected[0]}]}
    assert json.loads(done.stdout) == found


def test_odd_names_and_questions_keep_fields_and_lines_apart(here: Path, tmp_path: Path) -> None:
    odd = tmp_path / "a\tb\nc\\.mp4"
    odd.write_bytes(clips(here)[0].read_bytes())
    caption = cosa.load(here / "checkpoint", device="cpu").caption(odd)
    assert run(here, "caption", odd).stdout == rf"{tmp_path}/a\tb\nc\\.mp4" + f"\t{caption}\n"
    assert json.loads(run(here, "caption", odd, "--json").stdout)[0]["file"] == str(odd)
    answers = run(here, "ask", odd, "what\tis it?", "who?", checkpoint="answers").stdout
    assert answers.splitlines()[0].startswith("what\\tis it?\t")


def test_blank_questions_are_refused_and_long_ones_cut(here: Path) -> None:
    done = run(here, "ask", clips(here)[0], "what?", " ", checkpoint="answers")
    assert str(done.exception) == "text 2 of 2 is blank; expected words"
    done = run(here, "ask", clips(here)[0], "dog " * 100, "cat " * 100, checkpoint="answers")
    assert done.stderr.count("has 100 tokens, and the model reads the first 38 of a text, and 1 more are longer, too") == 1


def test_a_checkpoint_of_another_task_is_warned_of(here: Path) -> None:
    done = run(here, "ask", clips(here)[0], "what is it?")
    assert done.exit_code == 0
    assert "warning: this checkpoint was last finetuned for captioning, and perhaps never for question_answering" in " ".join(
        done.stderr.split()
    )
