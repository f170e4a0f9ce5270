"""Which checkpoint a command uses."""

from dataclasses import replace
from pathlib import Path

import pytest

from cosa.errors import UserError
from tests.cosa.inference.models import saved
from tests.workflows.planning.planned import finish, lay_out, plan
from workflows.commands import chosen_checkpoint
from workflows.commands.chosen_checkpoint import VARIABLE, Choice
from workflows.results.manifest import read_manifest


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(VARIABLE, raising=False)
    return lay_out(tmp_path, monkeypatch)


def choice(checkpoint: str | None = None, experiment: str | None = None) -> Choice:
    return Choice(checkpoint, experiment, Path("storage"))


def trained(started: str, *overrides: str) -> Path:
    """A finished training of a name and a time."""
    made = plan(*overrides)
    finish(made)
    folder = made.result_of("retrieval")
    manifest = read_manifest(folder)
    assert manifest is not None
    replace(manifest, started=started, outputs={"checkpoint": "checkpoint"}, metrics={"text_to_video_r1": 12.34}).write(folder)
    return folder


def test_the_newest_of_the_task_is_used_and_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    newest = trained("2026-11-27T10:00:00+00:00", "stages.retrieval.epochs=3")
    trained("2026-11-26T10:00:00+00:00")
    assert choice().checkpoint("retrieval") == str(newest / "checkpoint")
    assert capsys.readouterr().err == f"using {newest} (text-to-video R@1 12.3 on val)\n"


def test_an_experiment_has_its_own_newest(here: Path) -> None:
    trained("2026-11-27T10:00:00+00:00", "stages.retrieval.epochs=3")
    other = trained("2026-11-26T10:00:00+00:00", "name=other")
    assert choice(experiment="other").checkpoint("retrieval") == str(other / "checkpoint")
    with pytest.raises(UserError, match=r"--experiment othr: no experiment .* did you mean 'other'"):
        choice(experiment="othr").checkpoint("retrieval")


def test_what_is_named_counts(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained("2026-11-27T10:00:00+00:00")
    saved(Path("from-variable"))
    monkeypatch.setenv(VARIABLE, "from-variable")
    assert choice().checkpoint("retrieval") == "from-variable"
    assert choice("./elsewhere").checkpoint("retrieval") == "./elsewhere"
    assert choice(experiment="demo").checkpoint("retrieval").startswith("storage/demo/retrieval/")
    with pytest.raises(UserError, match="both name a checkpoint; give one of them"):
        choice("a", "b").checkpoint("retrieval")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("/nowhere", "/nowhere does not exist; expected a folder with"),
        ("nowhere", "'?nowhere'?"),
        ("mlflow:", "mlflow: names no run and no model"),
    ],
)
def test_a_variable_that_names_nothing_is_named(here: Path, monkeypatch: pytest.MonkeyPatch, value: str, message: str) -> None:
    trained("2026-11-27T10:00:00+00:00")
    monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(UserError, match=f"the variable COSA_CHECKPOINT names the checkpoint: .*{message}"):
        choice().checkpoint("retrieval")


def test_a_source_looks_into_the_storage_that_is_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(chosen_checkpoint, "local_checkpoint", lambda *of: asked.append(of) or Path("fetched"))
    for storage in (Path("storage"), Path("elsewhere")):
        assert Choice("mlflow:a", None, storage).checkpoint("retrieval") == "fetched"
    assert asked == [("mlflow:a", None), ("mlflow:a", Path("elsewhere"))]


def test_an_empty_name_is_no_name(here: Path) -> None:
    with pytest.raises(UserError, match="--checkpoint is empty"):
        choice(" ").checkpoint("retrieval")


def test_a_result_is_named_as_other_commands_name_it(here: Path) -> None:
    folder = trained("2026-11-27T10:00:00+00:00").absolute()
    for name in ("demo/retrieval", folder.name, folder.name[:6]):
        assert Path(choice(name).checkpoint("retrieval")).absolute() == folder / "checkpoint"
    assert choice(str(folder)).checkpoint("retrieval") == str(folder)
    with pytest.raises(UserError, match="did you mean 'demo/retrieval'"):
        choice("demo/retrievl").checkpoint("retrieval")


def test_without_one_for_the_task_nothing_is_guessed(here: Path) -> None:
    Path("storage").mkdir()
    with pytest.raises(UserError, match=f"nothing in {here}/storage was finetuned for captioning; name a checkpoint"):
        choice().checkpoint("captioning")
    trained("2026-11-27T10:00:00+00:00")
    with pytest.raises(UserError, match=r"was finetuned for captioning \(it has retrieval\); name a checkpoint"):
        choice().checkpoint("captioning")


def test_a_storage_that_is_none_is_named(here: Path) -> None:
    Path("file").touch()
    for storage, what in (("nostore", "does not exist"), ("file", "is no folder")):
        for address in (None, "demo/retrieval"):
            with pytest.raises(
                UserError, match=f"{here}/{storage}, the folder of results, {what}; name another with --storage"
            ):
                Choice(address, None, Path(storage)).checkpoint("retrieval")
    with pytest.raises(UserError, match=f"{here}/storage, the folder of results, does not exist"):
        choice().checkpoint("retrieval")


def test_a_result_without_a_checkpoint_says_which_it_used(here: Path) -> None:
    trained("2026-11-27T10:00:00+00:00")
    with pytest.raises(UserError) as raised:
        choice("demo/test").checkpoint("retrieval")
    assert str(raised.value) == (
        "--checkpoint demo/test: demo/test is of kind evaluate and has none; it used that of demo/retrieval: give --checkpoint "
        "demo/retrieval"
    )
    with pytest.raises(UserError, match="demo/corpus is of kind prepare and has none; name a training stage"):
        choice("demo/corpus").checkpoint("retrieval")
