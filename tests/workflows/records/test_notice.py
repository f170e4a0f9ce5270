"""Notices to commands and addresses at the end of a run."""

import json
import shlex
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from cosa.errors import UserError
from tests.workflows.planning.planned import finish, lay_out, plan
from workflows.records import notice as notices
from workflows.records.notice import Notice, notify, require_commands, send
from workflows.results.manifest import read_manifest
from workflows.spec.problems import SpecError

FAILED = Notice("demo", "failed", 125.0, "/results/demo", {}, "stage train: no space left", "cosa run-experiment demo.yaml")


class Receiver(BaseHTTPRequestHandler):
    """Lists what it gets, and answers as its server says."""

    def do_POST(self) -> None:
        self.server.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))  # type: ignore[attr-defined]
        self.send_response(self.server.code)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    server.got, server.code = [], 200  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def python(code: str) -> str:
    """A command that runs some code."""
    return shlex.join([sys.executable, "-c", code])


def test_an_address_gets_json(receiver: HTTPServer) -> None:
    address = f"http://127.0.0.1:{receiver.server_port}/hooks/0123456789abcdef"
    assert send(address, FAILED) is None
    [got] = receiver.got  # type: ignore[attr-defined]
    assert (
        got["text"]
        == got["content"]
        == ("demo failed after 2 min: stage train: no space left\nResume with: cosa run-experiment demo.yaml")
    )
    assert (got["status"], got["seconds"], got["storage"]) == ("failed", 125.0, "/results/demo")
    receiver.code = 403  # type: ignore[attr-defined]
    assert send(address, FAILED) == "the address answered 403 (Forbidden)"


def test_a_command_gets_json(tmp_path: Path) -> None:
    path = tmp_path / "sent; not a shell's.json"
    code = f"import os, sys; open({str(path)!r}, 'w').write(os.environ['COSA_STATUS'] + sys.stdin.read())"
    assert send(python(code), FAILED) is None
    status, _, rest = path.read_text().partition("{")
    assert status == "failed"
    assert json.loads("{" + rest)["error"] == "stage train: no space left"


def test_what_goes_wrong_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    assert send(python("import sys; print('x'); sys.exit('no mail today')"), FAILED) == (
        "the command ended with code 1: no mail today"
    )
    assert send("no-such-program --token abc", FAILED) == "No such file or directory"
    said = send("http://127.0.0.1:1/hooks/0123456789abcdef", FAILED)
    assert said is not None
    assert "refused" in said
    assert "0123456789abcdef" not in said
    monkeypatch.setattr(notices, "COMMAND_SECONDS", 0.1)
    assert send(python("import time; time.sleep(20)"), FAILED) == "it took too long"


def test_secrets_are_not_sent(receiver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "a1b2c3d4e5f6")
    notice = Notice("demo", "failed", 1.0, "/results", {}, "the server refused a1b2c3d4e5f6")
    assert send(f"http://127.0.0.1:{receiver.server_port}/", notice) is None
    [got] = receiver.got  # type: ignore[attr-defined]
    assert "a1b2c3d4e5f6" not in json.dumps(got)


def test_each_end_notifies_what_the_spec_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, receiver: HTTPServer) -> None:
    lay_out(tmp_path, monkeypatch)
    finish(plan())
    manifest = read_manifest(plan().result_of("test"))
    assert manifest is not None
    replace(manifest, metrics={"text_to_video_r1": 62.0}).write(plan().result_of("test"))
    warned: list[str] = []
    address = f"http://127.0.0.1:{receiver.server_port}/"
    notified = plan(f"on_finish={address}fine", f"on_failure={address}bad")
    notify(notified, "FINISHED", 60.0, None, None, warned.append)
    notify(notified, "FAILED", 60.0, UserError("a line\nmore"), "resume", warned.append)
    notify(notified, "KILLED", 60.0, None, "resume", warned.append)
    notify(plan(), "FAILED", 60.0, UserError("a line"), "resume", warned.append)
    receiver.code = 500  # type: ignore[attr-defined]
    notify(notified, "FINISHED", 60.0, None, None, warned.append)
    got = receiver.got  # type: ignore[attr-defined]
    assert [one["status"] for one in got] == ["finished", "failed", "interrupted", "finished"]
    assert got[0]["metrics"] == {"test": {"text_to_video_r1": 62.0}}
    assert got[0]["text"] == "demo finished after 1 min: test text_to_video_r1 62.0".replace("demo", got[0]["experiment"])
    assert got[1]["error"] == "a line"
    assert warned == ["on_finish: the address answered 500 (Internal Server Error)"]


def test_they_change_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path, monkeypatch)
    fingerprints = [step.fingerprint for step in plan().steps]
    assert fingerprints == [
        step.fingerprint for step in plan("on_finish=mail -s done me", "on_failure=https://x.example/y").steps
    ]


def test_a_command_that_cannot_run_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path, monkeypatch)
    with pytest.raises(UserError, match="on_failure: no program 'no-such-program' is found"):
        require_commands(plan("on_failure=no-such-program now").experiment.section)
    require_commands(plan("on_failure=https://x.example/y", f"on_finish={sys.executable} -V").experiment.section)
    with pytest.raises(SpecError, match="on_finish: no command: No closing quotation"):
        plan('on_finish="mail \'me"')
    with pytest.raises(SpecError, match="on_finish: expected a command or an address"):
        plan("on_finish=' '")
