"""Where a spec finds files of the user's own code, and that they count in fingerprints."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.workflows.planning.planned import lay_out, load
from workflows.planning.plan import make_plan
from workflows.spec.problems import SpecError

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path, monkeypatch)
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        (folder / "own.py").write_text(f"NAME = {folder.name!r}\n")


def test_paths_on_the_command_line_start_at_the_working_directory(tmp_path: Path) -> None:
    experiment = load("extensions=[one/own.py, two/own.py]")
    assert tuple(e.file for e in experiment.extensions) == (str(tmp_path / "one" / "own.py"), str(tmp_path / "two" / "own.py"))


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


OWN = """\
from typing import Literal
from cosa.tasks.all_tasks import TASKS
from cosa.tasks.captioning import Captioning
from workflows.spec.reads import FileRead, ResultRead
from workflows.spec.sections import StageSection
from workflows.spec.stage_kind import StageKind
from workflows.spec.stage_kinds import STAGE_KINDS
from workflows.stages.finetune import Finetune, FinetuneSection
from workflows.stages.prepare import Prepare, PrepareSection

class MyPrepareSection(PrepareSection):
    kind: Literal["my_prepare"]

class MyPrepare(Prepare):
    name = "my_prepare"
    section = MyPrepareSection

class FilesSection(StageSection):
    kind: Literal["files"]
    files: tuple[str, ...]

class Files(StageKind[FilesSection]):
    name = "files"
    section = FilesSection
    version = 1

    def reads(self, section, datasets):
        return [FileRead(("files",), file) for file in section.files]

    def run(self, context):
        return None

class Weighted(Finetune):
    name = "weighted"

    class section(FinetuneSection):
        kind: Literal["weighted"]
        weights: str

    def data_reads(self, section):
        yield from super().data_reads(section)
        yield FileRead(("weights",), section.weights)

class Variant(Captioning):
    name = "variant"

class Misspelt(Captioning):
    name = "misspelt"

    def objectives(self, settings):
        return ("capp",)

class Nothing(Captioning):
    name = "nothing"

    def objectives(self, settings):
        return ()

class Asking(Captioning):
    name = "asking"

    def objectives(self, settings):
        return ("qa",)

class Follower(Files):
    name = "follower"

    class section(FilesSection):
        kind: Literal["follower"]
        of: str = ""

    def inherited(self, section, experiment, stages):
        return section.model_copy(update={"of": "pretrain"})

    def reads(self, section, datasets):
        return [ResultRead(("of",), section.of)] if section.of else []

STAGE_KINDS.register(MyPrepare())
STAGE_KINDS.register(Weighted())
STAGE_KINDS.register(Follower())
STAGE_KINDS.register(Files())
for task in (Variant, Misspelt, Nothing, Asking):
    TASKS[task.name] = task()
"""


def _fingerprint(stage: str, *overrides: str) -> str | None:
    steps = make_plan(load("extensions=[one/own.py]", *overrides)).steps
    return next(step.fingerprint for step in steps if step.name == stage)


def test_files_of_one_field_count_each() -> None:
    Path("one/own.py").write_text(OWN)
    given = "stages.more={kind: files, files: [own/train.json, own/val.json]}"
    before = _fingerprint("more", given)
    for name in ("train", "val"):
        file = Path(f"own/{name}.json")
        text = file.read_text()
        file.write_text(text.replace("caption 1", "another caption"))
        assert _fingerprint("more", given) != before, name
        file.write_text(text)
    assert _fingerprint("more", given) == before


def test_kinds_that_extensions_derive_from_ours_count_their_code() -> None:
    Path("one/own.py").write_text(OWN)
    given = "stages.more={kind: my_prepare, converter: demo}"
    before = _fingerprint("more", given)
    Path("one/own.py").write_text(OWN + "# edited\n")
    assert before is not None and _fingerprint("more", given) != before


def test_variants_of_a_task_have_its_switches() -> None:
    Path("one/own.py").write_text(OWN)
    stage = "{kind: finetune, task: variant, init_from: pretrain, dataset: own, epochs: 1, self_critical: true}"
    assert "own-variant" in load("extensions=[one/own.py]", f"stages.own-variant={stage}").stages
    with pytest.raises(SpecError, match="it belongs to captioning; the task is retrieval"):
        load("extensions=[one/own.py]", f"stages.own-variant={stage.replace('variant', 'retrieval')}")


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("misspelt", "misspelt trains 'capp', no objective; did you mean"),
        ("nothing", "nothing has no objective, so there is nothing to train"),
        ("asking", "task asking has captions, but its objective qa needs questions"),
    ],
)
def test_tasks_train_objectives_that_exist_and_fit_their_data(task: str, message: str) -> None:
    Path("one/own.py").write_text(OWN)
    stage = f"{{kind: finetune, task: {task}, init_from: pretrain, dataset: own, epochs: 1}}"
    with pytest.raises(SpecError, match=message):
        load("extensions=[one/own.py]", f"stages.more={stage}")


def test_what_another_spec_registers_is_not_known() -> None:
    Path("one/own.py").write_text(OWN)
    more = "stages.more={kind: files, files: []}"
    load("extensions=[one/own.py]", more)
    with pytest.raises(SpecError, match="unknown kind 'files'"):
        load(more)


def test_what_its_methods_raise_is_one_sentence_at_the_command_line(tmp_path: Path) -> None:
    """Also from `objectives`, `check` and the like, which are called long after the file was loaded."""
    code = OWN.replace("for file in section.files", "for file in section.nope")
    Path("one/own.py").write_text(code)
    overrides = ["--set", "extensions=[one/own.py]", "--set", "stages.more={kind: files, files: []}"]
    command = [sys.executable, str(ROOT / "cli.py"), "plan", "spec.yaml", *overrides]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    line = code[: code.index("section.nope")].count("\n") + 1
    assert f"error: extensions: {tmp_path / 'one' / 'own.py'}, line {line}: AttributeError" in done.stderr


def test_a_matrix_over_tasks_varies_fields_of_theirs(tmp_path: Path) -> None:
    own = """
from cosa.tasks.all_tasks import TASKS
from cosa.tasks.captioning import Captioning, CaptioningSettings

class Settings(CaptioningSettings):
    tolerance: int = 0

class Tolerant(Captioning):
    name = "tolerant"
    settings = Settings

TASKS["tolerant"] = Tolerant()
"""
    Path("one/own.py").write_text(own)
    stage = "{kind: finetune, init_from: pretrain, dataset: own, epochs: 1, matrix: {task: [tolerant], tolerance: [1, 2]}}"
    stages = load("extensions=[one/own.py]", f"stages.more={stage}").stages
    found = [stages[f"more-tolerant-{value}"].model_dump()["tolerance"] for value in (1, 2)]
    assert found == [1, 2]
    with pytest.raises(SpecError, match="tolerance: is not a field of the stage"):
        load("extensions=[one/own.py]", f"stages.more={stage.replace('[tolerant]', '[captioning]')}")


def test_inherited_fields_name_inputs_like_others() -> None:
    Path("one/own.py").write_text(OWN)
    experiment = load("extensions=[one/own.py]", "stages.more={kind: follower, files: []}")
    assert experiment.inputs["more"] == ("pretrain",)
    assert list(experiment.stages).index("more") > list(experiment.stages).index("pretrain")


def test_a_sweep_cannot_vary_what_is_read() -> None:
    """Neither the fingerprint nor the check for missing files would know of it."""
    Path("one/own.py").write_text(OWN)
    stage = (
        "{kind: weighted, task: captioning, init_from: pretrain, dataset: own, epochs: 1, weights: own/train.json, "
        "sweep: {weights: [own/train.json, own/val.json]}}"
    )
    with pytest.raises(SpecError, match=r'a trial with weights: "own/val\.json": sweep: it would read other data'):
        load("extensions=[one/own.py]", f"stages.more={stage}")
    assert load("extensions=[one/own.py]", f"stages.more={stage.replace('[own/train.json, own/val.json]', '[own/train.json]')}")
