"""`cosa report`."""

import json
import re
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from cli import app
from tests.workflows.commands.measured import BETTER, measure
from tests.workflows.planning.planned import finish, lay_out, plan
from workflows.commands.report import write_report
from workflows.execution.progress import ProgressWriter
from workflows.reports import report_page
from workflows.results.manifest import read_manifest
from workflows.spec.problems import UsageError
from workflows.terminal.streams import refusal


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    lay_out(tmp_path, monkeypatch)
    finish(plan(), "corpus", "made-frames", "own-frames", "pretrain", "retrieval", "test")
    folder = plan().result_of("test")
    outputs = {"gallery_retrieval": "gallery_retrieval.html"}
    (folder / "gallery_retrieval.html").write_text("<p>a gallery</p><script>document.title = 'x'</script>")
    found = measure(folder, BETTER)
    measure(folder, BETTER, outputs={**found.outputs, **outputs})
    writer = ProgressWriter(plan().result_of("pretrain"), total=30)
    for step in (10, 20, 30):
        writer.write("train", step, {"loss": 40.0 - step, "itc_loss": 1.0, "itm_loss": 2.0})
    return folder


def test_everything_is_on_the_page(here: Path) -> None:
    run = CliRunner().invoke(app, ["report", "demo", "--out", "page.html"])
    assert run.exit_code == 0, run.output
    page = Path("page.html").read_text()
    for part in ("Results", "Stages", "Training", "Predictions", "Cost", "Make it again"):
        assert f"<h2>{part}</h2>" in page
    assert re.search(r"text-to-video R@1</td><td class=\"number\">75.0</td>.*chance", page)
    assert "pretrain: losses of objectives" in page
    assert "a gallery" not in page.replace("&lt;p&gt;a gallery", "")
    assert 'sandbox="allow-scripts"' in page
    assert "python cli.py run-experiment spec.yaml --until test" in page
    assert "--only test --force test" in page
    assert 'src="http' not in page
    assert "6 of 6 stages have results" in page


def test_a_page_for_which_there_is_no_room_is_named_and_the_older_stays(here: Path) -> None:
    Path("page.html").write_text("older")
    before = sorted(Path.cwd().iterdir())
    ignored, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        run = CliRunner().invoke(app, ["report", "demo", "--out", "page.html"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert isinstance(run.exception, OSError)
    assert refusal(run.exception) == "File too large: page.html could not be written; raise the limit (ulimit -f)"
    assert Path("page.html").read_text() == "older"
    assert sorted(Path.cwd().iterdir()) == before


def test_a_spec_shows_stages_that_have_not_run(here: Path) -> None:
    write_report("spec.yaml", Path("page.html"), None)
    page = Path("page.html").read_text()
    assert "6 of 7 stages have results" in page
    assert re.search(r"<title>captions\nevaluate\nnew</title>", page)


def test_a_large_gallery_is_linked(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_page, "LARGEST_GALLERY", 10)
    Path("pages").mkdir()
    write_report("demo", Path("pages/page.html"), None)
    (link,) = re.findall(r'href="([^"]+)"', Path("pages/page.html").read_text())
    assert Path("pages", link).resolve() == here.resolve() / "gallery_retrieval.html"


def test_hostile_texts_are_escaped(here: Path) -> None:
    measure(here, BETTER, details={"examples": ["<script>alert(1)</script>"], "measured": "<img src=x>"}, outputs={})
    write_report("demo", Path("page.html"), None)
    page = Path("page.html").read_text()
    assert "<script>" not in page
    assert "<img src=x" not in page


def test_not_of_a_single_result(here: Path) -> None:
    with pytest.raises(UsageError, match=r"demo/test is one result, which `cosa show` shows; name an experiment \(demo\)"):
        write_report("demo/test", Path("page.html"), None)


def test_the_spec_as_it_ran(here: Path) -> None:
    manifest = read_manifest(here)
    assert manifest is not None
    folder = Path("storage/demo/specs/20261127T163500-1")
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text(json.dumps({"stages": {"test": manifest.section}, "own": "a field"}))
    write_report("demo", Path("page.html"), None)
    assert "The spec as it ran" not in Path("page.html").read_text(), "pretrain is newer, by its folder"
    for stage in ("corpus", "made-frames", "own-frames", "pretrain", "retrieval"):
        measure(plan().result_of(stage), None, started="2026-11-27T16:00:00+00:00")
    write_report("demo", Path("page.html"), None)
    assert "&quot;a field&quot;" in Path("page.html").read_text()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no Chromium to draw the page")
def test_a_browser_draws_it(here: Path, tmp_path: Path) -> None:
    write_report("demo", Path("page.html"), None)
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1000,2000"]
    picture = tmp_path / "page.png"
    subprocess.run(
        [*command, f"--screenshot={picture}", f"file://{tmp_path}/page.html"], check=True, capture_output=True, timeout=120
    )
    with Image.open(picture) as drawn:
        colours = {colour for _, colour in drawn.convert("RGB").getcolors(2**24)}
    assert (236, 253, 245) in colours, "a stage that is done"
    assert (0, 114, 178) in colours, "the first curve"
