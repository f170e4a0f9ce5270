"""`cosa compare`."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import app
from cosa.errors import UserError
from tests.workflows.commands.measured import BETTER, WORSE, measure
from tests.workflows.commands.test_show import on_terminal
from tests.workflows.planning.planned import finish, lay_out, plan
from workflows.commands import compare
from workflows.commands.compare import show_comparison
from workflows.spec.problems import UsageError

LONGER = "stages.retrieval.epochs=3"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two tests of two trainings of one experiment."""
    lay_out(tmp_path, monkeypatch)
    published = "stages.test.published={text_to_video_r1: 57.9}"
    finish(plan(published))
    finish(plan(published, LONGER))
    first, second = plan().result_of("test"), plan(LONGER).result_of("test")
    measure(first, WORSE, metrics={"text_to_video_mean_rank": 4.0})
    measure(second, BETTER, metrics={"text_to_video_mean_rank": 2.0}, git={"commit": "f" * 40, "dirty": "yes"})
    return first, second


def test_side_by_side_in_80_columns(
    here: tuple[Path, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_terminal(monkeypatch, compare)
    show_comparison([path.name for path in here], None)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert re.search(r"text-to-video R@1 +25\.0 +\*75\.0 +2\.5 +57\.9", text)
    assert re.search(r"text-to-video mean rank +4\.0 +\*2\.0", text)
    assert re.search(r"\([\d.]+ to [\d.]+\) +\([\d.]+ to [\d.]+\)", text)
    assert re.search(r"text-to-video R@1 +B - A +\+50\.0 +\+\d+\.\d to \+\d+\.\d +< 0\.001 +40", text)
    assert re.search(r"result of retrieval +[0-9a-f]{8} +[0-9a-f]{8}", text)
    assert re.search(r"commit +6135bc40eb +ffffffffff and changes", text)


def test_a_spec_with_what_it_would_use(here: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    show_comparison(["spec.yaml", "demo/test"], None)
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["stage", "part", "name", "spec.yaml", "demo/test"]
    assert {line[0] for line in lines[1:]} == {"test", "retrieval"}
    assert ["retrieval", "field", "epochs", "2.0", "3.0"] in lines
    assert ["test", "result", "folder", str(here[0]), str(here[1])] in lines
    assert ["test", "metric", "text_to_video_r1", "25.0", "75.0"] in lines
    assert ["test", "best", "text_to_video_r1", "", "best"] in lines
    assert ["test", "published", "text_to_video_r1", "57.9"] in lines


def test_two_specs_by_stage_and_stages_without_results(here: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    text = Path("spec.yaml").read_text()
    Path("other.yaml").write_text(text.replace("epochs: 2", "epochs: 7"))
    show_comparison(["spec.yaml", "other.yaml"], None, as_json=True)
    stages = {stage["stage"]: stage for stage in json.loads(capsys.readouterr().out)["stages"]}
    assert stages["pretrain"]["same_result"]
    assert stages["retrieval"]["fields"] == [
        {"field": "epochs", "decides": True, "values": {"spec.yaml": "2.0", "other.yaml": "7.0"}}
    ]
    (note,) = (note for note in stages["retrieval"]["notes"] if "has no result" in note)
    assert note.startswith("other.yaml: retrieval has no result yet (spec changed: stages.retrieval.epochs")


def test_one_stage_alone_means_all_its_results(here: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    show_comparison(["demo/retrieval"], None)
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert len(lines[0]) == 5
    assert ["retrieval", "field", "epochs", "3.0", "2.0"] in lines or ["retrieval", "field", "epochs", "2.0", "3.0"] in lines
    with pytest.raises(UsageError, match="demo/pretrain is one result; name what to compare it with"):
        show_comparison(["demo/pretrain"], None)


def test_the_same_name_twice_and_nothing_to_compare(here: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    show_comparison(["demo", "demo"], None)
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert lines[0][3:] == ["demo (1)", "demo (2)"]
    Path("none.yaml").write_text(Path("spec.yaml").read_text().replace("name: demo", "name: none"))
    with pytest.raises(UserError, match=r"none.yaml and none.yaml have no results yet; run their specs first"):
        show_comparison(["none.yaml", "none.yaml"], Path("elsewhere"))


def test_a_page_through_the_command_line(here: tuple[Path, Path], tmp_path: Path) -> None:
    names = [path.name for path in here]
    run = CliRunner().invoke(app, ["compare", *names, "--html", "page.html"])
    assert run.exit_code == 0, run.output
    page = Path("page.html").read_text()
    assert '<span class="best">75.0</span>' in page
    assert '<span class="best">+50.0</span>' in page
    assert "57.9" in page
    assert all(f"<td>{letter}</td><td>{name}</td>" in page for letter, name in zip("AB", names, strict=True))
    assert "<td>B - A</td>" in page
    assert "http" not in page.replace("http-equiv", "")
    wrong = CliRunner().invoke(app, ["compare", *names, "--html", "absent/page.html"])
    assert "expected a file in a folder that exists" in str(wrong.exception)
    unknown = CliRunner().invoke(app, ["compare", "dmo", "demo"])
    assert "did you mean 'demo'" in str(unknown.exception)


@pytest.mark.parametrize(
    "command", ["compare spec.yaml demo/test", "show demo/test", "report demo", "clean --dry-run", "list results"]
)
def test_it_starts_without_what_is_slow_to_load(here: tuple[Path, Path], command: str) -> None:
    code = (
        "import sys\nfrom cli import app\napp(sys.argv[1:], standalone_mode=False)\n"
        "print('loaded', *(name for name in ('torch', 'ray', 'mlflow', 'pandas', 'matplotlib') if name in sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code, *command.split()], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.splitlines()[-1] == "loaded"
