"""Where a spec finds files of the user's own code, and that they count in fingerprints."""

from pathlib import Path

import pytest

from tests.workflows.planning.planned import lay_out, load
from workflows.planning.plan import make_plan
from workflows.spec.errors import SpecError


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path, monkeypatch)
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        (folder / "own.py").write_text(f"NAME = {folder.name!r}\n")


def test_paths_on_the_command_line_start_at_the_working_directory(tmp_path: Path) -> None:
    experiment = load("extensions=[one/own.py, two/own.py]")
    assert experiment.extensions == (str(tmp_path / "one" / "own.py"), str(tmp_path / "two" / "own.py"))


def test_a_wrong_one_is_a_mistake_in_the_spec() -> None:
    with pytest.raises(SpecError, match=r"extensions: .*three.py cannot be read"):
        load("extensions=[three.py]")
    with pytest.raises(SpecError, match=r"extensions: expected names of Python files"):
        load("extensions=[1]")


def test_each_counts_in_what_it_may_change_and_nothing_else() -> None:
    def fingerprints(*extensions: str) -> dict[str, str | None]:
        made = make_plan(load(f"extensions=[{', '.join(extensions)}]"))
        return {step.name: step.fingerprint for step in made.steps}

    without, one = fingerprints(), fingerprints("one/own.py")
    changed = {name for name in without if without[name] != one[name]}
    assert {"pretrain", "retrieval", "test"} <= changed
    assert not changed & {"corpus", "made-frames", "own-frames"}
    both = fingerprints("one/own.py", "two/own.py")
    Path("one/own.py").write_text("NAME = 'other'\n")
    assert fingerprints("one/own.py", "two/own.py")["pretrain"] != both["pretrain"]
