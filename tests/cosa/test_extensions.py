"""Files of the user's own code: loaded once, under a name that functions can be found by, and with the line of a mistake."""

from pathlib import Path
from pkgutil import resolve_name

import pytest

from cosa.errors import UserError
from cosa.extensions import load_extensions

REGISTERED: list[str] = []
CODE = """\
from tests.cosa.test_extensions import REGISTERED

def answer():
    return {answer}

REGISTERED.append(f"{{__name__}}:answer")
"""


@pytest.fixture(autouse=True)
def _empty() -> None:
    REGISTERED.clear()


def test_functions_are_found_by_name_whatever_the_file_is_called(tmp_path: Path) -> None:
    file = tmp_path / "my-own things.v2.py"
    file.write_text(CODE.format(answer=42))
    load_extensions([str(file)])
    assert resolve_name(REGISTERED[0])() == 42


def test_a_file_is_loaded_once_and_again_when_it_has_changed(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(CODE.format(answer=1))
    load_extensions([str(file), str(file)])
    file.write_text(CODE.format(answer=2))
    load_extensions([str(file)])
    assert [resolve_name(name)() for name in REGISTERED] == [1, 2]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1\nraise KeyError('no such metric')\n", r"own.py, line 2: KeyError: 'no such metric'"),
        ("x = 1\ny = = 2\n", r"own.py, line 2: SyntaxError"),
        ("import no_such_package\n", r"own.py, line 1: ModuleNotFoundError"),
    ],
)
def test_mistakes_name_file_and_line(tmp_path: Path, code: str, message: str) -> None:
    file = tmp_path / "own.py"
    file.write_text(code)
    with pytest.raises(UserError, match=message):
        load_extensions([str(file)])
    with pytest.raises(UserError, match=message):
        load_extensions([str(file)])  # a failed one is not taken for loaded


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"extensions: .*own.py cannot be read .*expected a Python file"):
        load_extensions([str(tmp_path / "own.py")])
