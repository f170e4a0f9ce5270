"""`cosa init` copies a spec that can be loaded as it is."""

import re
from pathlib import Path

import pytest

from cosa.errors import UserError
from workflows.commands.init import TEMPLATES, init, show_templates, templates
from workflows.spec.load import load_spec


@pytest.mark.parametrize("name", templates())
def test_every_template_is_a_spec_where_it_is_copied(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init(name, tmp_path / "mine")
    spec = tmp_path / "mine" / f"{name}.yaml"
    said = capsys.readouterr().out
    assert f"cosa run-experiment {spec}" in said
    assert load_spec(spec, environment={}).stages
    for copy in (tmp_path / "mine").rglob("*.yaml"):
        assert str(copy) in said
        editors_line = copy.read_text(encoding="utf-8").splitlines()[0]
        assert (copy.parent / editors_line.partition("$schema=")[2]).is_file()


def test_it_says_what_the_spec_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init("own-clips", tmp_path)
    said = capsys.readouterr().out
    for path in ("data/clips/", "data/train.json", "data/val.json", "data/test.json"):
        assert path in said
    assert "name: own-clips" not in said  # only what explains it
    assert "yaml-language-server" not in said


def test_the_explanation_names_the_copy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init("own-clips", tmp_path)
    said = capsys.readouterr().out
    assert f"Run:      cosa run-experiment {tmp_path}/own-clips.yaml" in said
    assert "experiments/own-clips.yaml" not in said


def test_the_copy_says_how_to_run_the_copy(tmp_path: Path) -> None:
    init("own-clips", tmp_path / "mine")
    copy = tmp_path / "mine" / "own-clips.yaml"
    assert f"# Run:      cosa run-experiment {copy}\n" in copy.read_text()
    assert "experiments/" not in copy.read_text()


def test_stages_that_the_template_only_shows_are_a_spec(tmp_path: Path) -> None:
    init("own-clips", tmp_path)
    spec = tmp_path / "own-clips.yaml"
    shown = re.compile(r"^  # (( +|[\w-]+: )\{?(kind|train_frames|learning_rate).*)$", re.MULTILINE)
    text = shown.sub(r"  \1", spec.read_text())
    text = re.sub(r'splits: \{train: (".*?"), val: (".*?"), test: (".*?")\}', _with_questions, text, count=1)
    spec.write_text(text)
    stages = load_spec(spec, environment={}).stages
    assert set(stages) == {"frames", "retrieval", "test", "captions", "test-captions", "answers", "test-answers"}


def _with_questions(splits: re.Match[str]) -> str:
    names = ("train", "val", "test")
    named = (
        f"{name}: {{captions: {path}, questions: questions.json}}" for name, path in zip(names, splits.groups(), strict=True)
    )
    return f"splits: {{{', '.join(named)}}}"


def test_a_second_time_it_says_that_the_spec_is_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init("own-clips", tmp_path)
    first = capsys.readouterr().out.splitlines()
    init("own-clips", tmp_path)
    second = capsys.readouterr().out.splitlines()
    assert first[0].startswith(f"copied {tmp_path}/own-clips.yaml")
    assert second[0].startswith(f"{tmp_path}/own-clips.yaml is here already")
    assert second[1:] == first[1:]


def test_in_a_checkout_the_template_itself_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "experiments").symlink_to(TEMPLATES)
    monkeypatch.chdir(tmp_path)
    before = (TEMPLATES / "own-clips.yaml").read_bytes()
    init("own-clips", Path("experiments"))
    said = capsys.readouterr().out
    assert said.startswith("experiments/own-clips.yaml is here already")
    assert "cosa plan experiments/own-clips.yaml" in said
    assert (TEMPLATES / "own-clips.yaml").read_bytes() == before


def test_nothing_of_a_person_is_overwritten(tmp_path: Path) -> None:
    init("retrieval/msrvtt", tmp_path)
    init("retrieval/didemo", tmp_path)  # It extends the same files.
    paths = tmp_path / "base" / "paths.yaml"
    paths.write_text("x-fragment: true\n")
    with pytest.raises(UserError, match=f"{paths} exists and is not what would be copied; remove it, or choose another folder"):
        init("retrieval/vatex", tmp_path)
    assert not (tmp_path / "retrieval" / "vatex.yaml").exists()
    assert paths.read_text() == "x-fragment: true\n"
    (tmp_path / "own-clips.yaml").mkdir()
    with pytest.raises(UserError, match="exists and is not what would be copied"):
        init("own-clips", tmp_path)
    with pytest.raises(UserError, match=f"--into: {paths} is a file; give a folder"):
        init("own-clips", paths)


def test_what_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_templates()
    shown = capsys.readouterr().out
    assert "own-clips" in shown
    assert "retrieval/msrvtt" in shown
    assert "base/" not in shown
    with pytest.raises(UserError, match="no template 'retrieval/msrvt'; did you mean 'retrieval/msrvtt'"):
        init("retrieval/msrvt", tmp_path)
