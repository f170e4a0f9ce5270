"""Which workers the fork server is asked for. No server is started."""

import json
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from workflows.cluster.start_worker import SOCKET, request_for, worker_is_forked

PLAIN = ["default_worker.py", "--node-ip-address=127.0.0.1", "--language=PYTHON"]
ENVIRONMENT = {"RAY_TMPDIR": "/tmp/some"}


def context(**fields: Any) -> str:
    """The words in which Ray gives a worker's environment."""
    known = {"command_prefix": [], "env_vars": {}, "py_executable": sys.executable, "java_jars": []}
    return "--serialized-runtime-env-context=" + json.dumps(known | fields)


def accept_and_close(listener: socket.socket) -> None:
    listener.accept()[0].close()


def test_a_plain_worker_keeps_the_words_that_are_its_own() -> None:
    request = request_for([*PLAIN, context()], ENVIRONMENT)
    assert request is not None
    assert request["words"] == PLAIN[:2]
    assert request["environment"] == ENVIRONMENT
    assert request["folder"] == str(Path.cwd())


def test_variables_that_are_read_after_the_fork_are_passed_on() -> None:
    variables = {"RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "120", "PL_DISABLE_FORK": "1", "RAY_CHDIR_TO_TRIAL_DIR": "0"}
    request = request_for([*PLAIN, context(env_vars=variables)], ENVIRONMENT)
    assert request is not None
    assert request["variables"] == variables


@pytest.mark.parametrize(
    "words",
    [
        [*PLAIN[:2], "--language=CPP"],
        [*PLAIN, "--worker-type=SPILL_WORKER"],
        [*PLAIN, context(py_executable="/usr/bin/another-python")],
        [*PLAIN, context(command_prefix=["nice"])],
        [*PLAIN, context(override_worker_entrypoint="/in/a/container.py")],
        [*PLAIN, context(env_vars={"OMP_NUM_THREADS": "3"})],
        [*PLAIN, context(something_new="that a later Ray has")],
    ],
)
def test_all_others_are_left_to_ray(words: list[str]) -> None:
    assert request_for(words, ENVIRONMENT) is None


def test_without_a_server_ray_starts_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SOCKET, raising=False)
    assert not worker_is_forked(PLAIN)
    monkeypatch.setenv(SOCKET, str(tmp_path / "nobody-listens"))
    assert not worker_is_forked(PLAIN)


def test_a_server_that_ends_before_it_answers_is_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "socket")
    monkeypatch.setenv(SOCKET, path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        listener.settimeout(10)
        answering = threading.Thread(target=accept_and_close, args=[listener])
        answering.start()
        assert not worker_is_forked(PLAIN)
        answering.join()
