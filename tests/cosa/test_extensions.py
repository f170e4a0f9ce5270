"""Files of the user's own code: loaded once, under a name that functions can be found by, and with the line of a mistake."""

from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name

import pytest

from cosa.errors import UserError
from cosa.extensions import Extension, load_extensions, mistake_in_extension
from cosa.objectives.all_objectives import OBJECTIVES
from cosa.tasks.all_tasks import TASKS
from cosa.tasks.captioning import CaptioningSettings

REGISTERED: list[str] = []
CODE = """\
from tests.cosa.test_extensions import REGISTERED

def answer():
    return {answer}

REGISTERED.append(f"{{__name__}}:answer")
"""


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    REGISTERED.clear()
    yield
    load_extensions(())


def load(*files: Path) -> None:
    load_extensions([Extension.read(file) for file in files])


def test_functions_are_found_by_name_whatever_the_file_is_called(tmp_path: Path) -> None:
    file = tmp_path / "my-own things.v2.py"
    file.write_text(CODE.format(answer=42))
    load(file)
    assert resolve_name(REGISTERED[0])() == 42


def test_a_file_is_loaded_once_and_again_when_it_has_changed(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(CODE.format(answer=1))
    load(file, file)
    file.write_text(CODE.format(answer=2))
    load(file)
    assert [resolve_name(name)() for name in REGISTERED] == [1, 2]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1\nraise KeyError('no such metric')\n", r"own.py, line 2: KeyError: 'no such metric'"),
        ("x = 1\ny = = 2\n", r"own.py, line 2: SyntaxError"),
        ("import no_such_package\n", r"own.py, line 1: ModuleNotFoundError"),
        ("import sys\nsys.exit(3)\n", r"own.py, line 2: SystemExit: 3"),
        ("x = '\0'\n", r"own.py: (SyntaxError|ValueError): source code string cannot contain null bytes"),  # as Python has it
        (
            "from cosa.objectives.all_objectives import OBJECTIVES\nOBJECTIVES['itc'] = OBJECTIVES['mlm']\n",
            r"own.py, line 2: objective 'itc' exists already; give yours another name",
        ),
        (
            "from cosa.tasks.all_tasks import TASKS\nTASKS['other'] = TASKS['retrieval']\n",
            r"own.py, line 2: task 'other': its `name` is 'retrieval'; both have to be the same",
        ),
        (
            "from workflows.spec.stage_kinds import STAGE_KINDS\nSTAGE_KINDS.register(int)\n",
            r"own.py, line 2: kind of stage '': expected an object of a StageKind",
        ),
        (
            "from cosa.encoders.vision_families import VISION_FAMILIES as V\nV['own'] = V['vit'].names\n",
            r"own.py, line 2: family of image encoders 'own': expected an object of a VisionFamily",
        ),
    ],
)
def test_mistakes_name_file_and_line(tmp_path: Path, code: str, message: str) -> None:
    file = tmp_path / "own.py"
    file.write_text(code)
    with pytest.raises(UserError, match=message):
        load(file)
    with pytest.raises(UserError, match=message):
        load(file)  # a failed one is not taken for loaded


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"extensions: .*own.py cannot be read .*expected a Python file"):
        load(tmp_path / "own.py")


REGISTERING = """\
from cosa.objectives.all_objectives import OBJECTIVES
OBJECTIVES["{name}"] = OBJECTIVES["{name}2"] = OBJECTIVES["itc"]
"""


def test_tables_hold_what_the_spec_at_hand_registers_and_nothing_of_others(tmp_path: Path) -> None:
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text(REGISTERING.format(name="first"))
    two.write_text(REGISTERING.format(name="second"))
    built_in = set(OBJECTIVES)
    load(one)
    assert set(OBJECTIVES) == built_in | {"first", "first2"}
    load(two)
    assert set(OBJECTIVES) == built_in | {"second", "second2"}
    load(two, one)
    assert set(OBJECTIVES) == built_in | {"first", "first2", "second", "second2"}
    load()
    assert set(OBJECTIVES) == built_in


def test_what_a_program_registers_itself_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OBJECTIVES, "mine", OBJECTIVES["itc"])
    load()
    assert "mine" in OBJECTIVES


def test_nothing_of_a_failed_file_stays(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(REGISTERING.format(name="mine") + "raise KeyError\n")
    for _ in range(2):
        with pytest.raises(UserError, match=r"own\.py, line 3: KeyError"):
            load(file)
        assert "mine" not in OBJECTIVES and "mine2" not in OBJECTIVES


def test_two_files_cannot_register_one_name(tmp_path: Path) -> None:
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    for file in (one, two):
        file.write_text(f"# {file.name}\n" + REGISTERING.format(name="mine"))
    with pytest.raises(UserError, match=r"two\.py, line 3: objective 'mine' exists already"):
        load(one, two)
    load(two)  # now both are executed
    load(one)
    with pytest.raises(UserError, match=r"two\.py: objective 'mine' exists already"):
        load(one, two)


def test_a_file_that_is_edited_later_runs_as_it_was_read(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(CODE.format(answer=11))
    extension = Extension.read(file)
    file.write_text(CODE.format(answer=12))
    load_extensions([extension])
    assert resolve_name(REGISTERED[0])() == 11


def test_what_a_file_prints_is_not_the_output_of_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "own.py"
    file.write_text("print('hello from an extension')\n")
    load(file)
    output = capsys.readouterr()
    assert output.out == "" and "hello from an extension" in output.err


def test_a_task_contradicting_itself_is_refused() -> None:
    class Wrong(type(TASKS["captioning"])):  # type: ignore[misc]
        name = "wrong"
        main_metric = "nope"

    with pytest.raises(UserError, match="task 'wrong': its `main_metric` is 'nope'; expected one of its metrics"):
        TASKS["wrong"] = Wrong()


def test_tasks_cannot_give_one_setting_two_defaults() -> None:
    """An evaluation of both has one such field."""
    captioning = type(TASKS["captioning"])

    class Settings(CaptioningSettings):
        beam_size: int = 7

    class Other(captioning):  # type: ignore[misc,valid-type]
        name = "other"
        settings = Settings

    with pytest.raises(UserError, match="its setting 'beam_size' has another default or type than that of task captioning"):
        TASKS["other"] = Other()


def test_an_error_in_an_extension_names_its_line(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(CODE.format(answer="{}['nope']"))
    load(file)
    with pytest.raises(KeyError) as caught:
        resolve_name(REGISTERED[0])()
    assert str(mistake_in_extension(caught.value)) == f"extensions: {file}, line 4: KeyError: 'nope'"
    assert mistake_in_extension(KeyError("nope")) is None
