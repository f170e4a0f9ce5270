"""The page of `cosa demo`: what it answers, and that a browser can use it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cosa
from cli import app
from cosa.errors import UserError
from tests.cosa.inference.models import saved, videos
from tests.ports import free_port
from workflows.commands.chosen_checkpoint import Choice
from workflows.commands.demo import Page, load_page

ROOT = Path(__file__).parents[3]
PLAY = "async () => { const v = document.querySelector('#found video'); v.muted = true; await v.play(); return v.duration }"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("here")
    saved(folder / "checkpoint", task="retrieval")
    videos(folder / "clips", 4)
    (folder / "clips" / "v0.mp4").rename(folder / "clips" / "<v 0>.mp4")
    words = ["index", str(folder / "clips"), "--out", str(folder / "a.index"), "--checkpoint", str(folder / "checkpoint")]
    assert CliRunner().invoke(app, words).exit_code == 0
    return folder


def page(here: Path) -> Page:
    return load_page(Choice(str(here / "checkpoint"), None, here / "storage"), here / "a.index")


def test_it_answers_as_the_library_does(here: Path) -> None:
    shown, model, clip = page(here), cosa.load(here / "checkpoint", device="cpu"), str(here / "clips" / "v1.mp4")
    assert shown.describe(clip) == model.caption(clip)
    assert shown.answer(clip, " what is it? ") == model.answer(clip, "what is it?")
    texts = ["rain", "two dogs play"]
    assert shown.match(clip, " rain\n\ntwo dogs play\nrain") == dict(zip(texts, model.match(texts, clip).tolist(), strict=True))
    (hits,) = cosa.SearchIndex.open(here / "a.index").search(model.embed_text("rain"), 12)
    names = [hit.path.name.replace("<", "&lt;").replace(">", "&gt;") for hit in hits]
    assert re.findall(r"<b>(.*?)</b>", shown.search(" rain ")) == names
    assert sorted(re.findall(r"<b>(.*?)</b>", shown.search("rain", rerank=True))) == sorted(names)
    assert re.findall(r"<b>(.*?)</b>", shown.alike(clip))[0] == "v1.mp4"


def test_what_is_missing_is_asked_for(here: Path) -> None:
    shown, clip = page(here), str(here / "clips" / "v1.mp4")
    for asked, says in (
        (lambda: shown.search(" "), "the text is blank; expected words"),
        (lambda: shown.answer(clip, " "), "the text is blank; expected words"),
        (lambda: shown.match(clip, "\n"), "no text yet; write one or several, a line each"),
        (lambda: shown.alike(None), "no file yet; give a video or a picture first"),
        (lambda: shown.describe(None), "no file yet; give a video or a picture first"),
        (lambda: shown.answer(None, "what?"), "no file yet; give a video or a picture first"),
        (lambda: shown.match(None, "rain"), "no file yet; give a video or a picture first"),
    ):
        with pytest.raises(UserError, match=says):
            asked()


def test_a_note_says_that_a_text_is_cut(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gradio

    shown, clip, notes = page(here), str(here / "clips" / "v1.mp4"), list[str]()
    monkeypatch.setattr(gradio, "Info", notes.append)
    shown.search("rain")
    shown.match(clip, "rain\nsnow")
    assert notes == []
    shown.search("<b> " * 50)
    shown.answer(clip, "dog " * 50)
    shown.match(clip, "rain\n" + "dog " * 50)
    assert [note.partition(" has ")[2] for note in notes] == [
        f"{count} tokens, and the model reads the first 38 of a text" for count in (150, 50, 50)
    ]
    assert "<b>" not in notes[0]


def test_files_that_are_gone_are_left_out_with_a_note(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gradio

    shown, notes = page(here), list[str]()
    monkeypatch.setattr(gradio, "Info", notes.append)
    gone = here / "clips" / "v2.mp4"
    content = gone.read_bytes()
    gone.unlink()
    try:
        assert "v2.mp4 is missing" in shown.search("rain")
        assert "v2.mp4" not in shown.search("rain", rerank=True)
    finally:
        gone.write_bytes(content)
    assert len(notes) == 1
    assert notes[0].startswith(f"1 of 4 are left out; the first of them: {gone} is missing")
    assert str(gone) not in shown.found
    assert len(re.findall("<li>", shown.search("rain", 2))) == 2


def test_messages_are_shown_as_they_are_written(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gradio

    from workflows.commands.demo import _with_warnings

    messages: list[str] = []
    monkeypatch.setattr(gradio, "Warning", messages.append)
    assert _with_warnings(page(here).describe)("<img src=x onerror=alert(1)>.mp4") is None
    assert messages[0].startswith("&lt;img src=x")


def test_without_any_checkpoint_it_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COSA_CHECKPOINT", raising=False)
    with pytest.raises(UserError, match="was finetuned for retrieval; name a checkpoint with --checkpoint"):
        load_page(Choice(None, None, tmp_path), None)


def test_an_index_of_another_model_is_refused(here: Path, tmp_path: Path) -> None:
    other = saved(tmp_path / "other")
    config = (other / "config.json").read_text()
    (other / "config.json").write_text(config.replace('"dropout": 0.1', '"dropout": 0.2'))
    with pytest.raises(UserError, match="has other weights; index again"):
        load_page(Choice(str(other), None, tmp_path), here / "a.index")


@pytest.fixture(scope="module")
def served(here: Path) -> Iterator[str]:
    command = [sys.executable, str(ROOT / "cli.py"), "demo", "--checkpoint", "checkpoint", "--index", "a.index"]
    log = here / "log"
    with log.open("w") as output:
        process = subprocess.Popen([*command, "--port", str(free_port())], cwd=here, stdout=output, stderr=output)
    try:
        deadline = 240
        while (found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text())) is None:
            assert process.poll() is None, log.read_text()
            deadline -= 1
            assert deadline, log.read_text()
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(timeout=1)
        yield found[0]
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) in (0, 130), log.read_text()


@pytest.mark.slow
def test_only_what_was_found_is_served(served: str, here: Path) -> None:
    beside = (here / "checkpoint" / "config.json", Path("/etc/passwd"), here / "clips" / ".." / "a.index")
    for path in (here / "clips" / "v1.mp4", *beside):
        with pytest.raises(urllib.error.HTTPError, match=r"403|404"):
            urllib.request.urlopen(f"{served}/gradio_api/file={path}", timeout=60)


@pytest.mark.slow
def test_other_names_of_this_machine_are_refused(served: str) -> None:
    """A page from elsewhere could let its own name mean 127.0.0.1, and so read what this server gives."""
    request = urllib.request.Request(served, headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(request, timeout=60)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine (Debian's package is chromium)")
def test_a_browser_searches_captions_asks_and_compares(served: str, here: Path) -> None:
    from playwright.sync_api import sync_playwright

    model, clip = cosa.load(here / "checkpoint", device="cpu"), here / "clips" / "v1.mp4"
    elsewhere: list[str] = []
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        tab = browser.new_page()
        tab.set_default_timeout(120_000)
        tab.on("request", lambda request: elsewhere.append(request.url))
        tab.goto(served)
        tab.fill("#query :is(input, textarea)", "rain")
        tab.click("#search")
        tab.wait_for_selector("#found li:nth-child(4)")
        assert tab.evaluate(PLAY) > 0
        tab.click("button[role=tab]:has-text('Your file')")
        tab.set_input_files("#file input[type=file]", str(clip))
        tab.wait_for_selector("#preview video")
        tab.click("#describe")
        tab.wait_for_function("document.querySelector('#caption :is(input, textarea)').value")
        assert tab.input_value("#caption :is(input, textarea)") == model.caption(clip)
        tab.fill("#question :is(input, textarea)", "what is it?")
        tab.click("#ask")
        tab.wait_for_function("document.querySelector('#answer :is(input, textarea)').value")
        assert tab.input_value("#answer :is(input, textarea)") == model.answer(clip, "what is it?")
        tab.fill("#texts textarea", "rain\ntwo dogs play")
        tab.click("#compare")
        tab.wait_for_selector("#fits :text('two dogs play')")
        tab.click("#find")
        tab.wait_for_selector("#alike li")
        assert "v1.mp4" in tab.inner_text("#alike li:first-child")
        tab.click("#file button[aria-label=Clear]")
        tab.wait_for_function("!document.querySelector('#caption :is(input, textarea)').value")
        tab.wait_for_selector("#alike li", state="detached")
        tab.click("button[role=tab]:has-text('Search')")
        tab.fill("#query :is(input, textarea)", "")
        tab.click("#search")
        tab.wait_for_selector("text=the text is blank; expected words")
        tab.wait_for_selector("#found li", state="detached")
        browser.close()
    assert [url for url in elsewhere if not url.startswith((served, "data:", "blob:"))] == []
