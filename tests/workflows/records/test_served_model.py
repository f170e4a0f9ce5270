"""MLflow serves a checkpoint's folder as it is."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from PIL import Image

import cosa
from tests.cosa.inference.models import saved, videos
from tests.ports import free_port
from tests.workflows.planning.planned import lay_out, plan
from tests.workflows.records.test_checkpoint_card import described
from workflows.records.served_model import write_mlmodel

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("here")
    videos(folder / "clips", 3)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(folder / "clips" / "p.png")
    origin = {"tasks": ["captioning"], "fingerprint": "0" * 32, "started": "2026-11-27 10:00:00.000000", "versions": {}}
    write_mlmodel(saved(folder / "checkpoint"), {"origin": origin})
    return folder


@pytest.fixture(scope="module")
def served(here: Path) -> mlflow.pyfunc.PyFuncModel:
    return mlflow.pyfunc.load_model(str(here / "checkpoint"))


@pytest.fixture(scope="module")
def model(here: Path) -> cosa.Predictor:
    return cosa.load(here / "checkpoint", device="cpu")


def media(here: Path) -> list[Path]:
    return sorted((here / "clips").iterdir())


def encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def test_all_tasks_answer_as_the_library_does(here: Path, served: mlflow.pyfunc.PyFuncModel, model: cosa.Predictor) -> None:
    files = media(here)
    contents = pd.DataFrame({"media": list(map(encoded, files))})
    assert served.predict(contents)["text"].tolist() == model.caption(files)
    asked = contents.assign(text="what is it?")
    assert served.predict(asked, params={"task": "answer"})["text"].tolist() == model.answer(
        files, ["what is it?"] * len(files)
    )
    vectors = np.array(served.predict(contents, params={"task": "embed"})["vector"].tolist())
    assert np.array_equal(vectors, model.embed_video(files))
    texts = pd.DataFrame({"text": ["rain", "the cat sleeps"]})
    found = np.array(served.predict(texts, params={"task": "embed"})["vector"].tolist())
    assert np.array_equal(found, model.embed_text(["rain", "the cat sleeps"]))
    matched = served.predict(asked, params={"task": "match"})["probability"].tolist()
    assert matched == [float(model.match("what is it?", file)) for file in files]


def test_beams_can_be_chosen(here: Path, served: mlflow.pyfunc.PyFuncModel, model: cosa.Predictor) -> None:
    content = pd.DataFrame({"media": [f"data:video/mp4;base64,{encoded(media(here)[1])}"]})
    assert served.predict(content, params={"beam_size": 4})["text"].tolist() == [model.caption(media(here)[1], beam_size=4)]


@pytest.mark.parametrize(
    ("row", "params", "says"),
    [
        ({"media": "/etc/passwd"}, {}, "'media' is not base64"),
        ({"media": base64.b64encode(b"text").decode()}, {}, "is not a video"),
        ({"text": "a"}, {}, "a row lacks 'media'"),
        ({"text": "a"}, {"task": "sing"}, "task 'sing'; expected one of caption, answer, embed, match"),
    ],
)
def test_wrong_requests_are_refused(
    served: mlflow.pyfunc.PyFuncModel, row: dict[str, str], params: dict[str, str], says: str
) -> None:
    with pytest.raises(MlflowException, match=says):
        served.predict(pd.DataFrame([row]), params=params)


def test_every_trained_checkpoint_is_such_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = lay_out(tmp_path, monkeypatch)
    described("retrieval", here / "c", made=plan())
    clip = videos(here / "more", 1)[0]
    vector = mlflow.pyfunc.load_model(str(here / "c")).predict(pd.DataFrame({"media": [encoded(clip)]}))["vector"][0]
    assert vector == cosa.load(here / "c", device="cpu").embed_video(clip).tolist()


@pytest.mark.slow
def test_a_server_answers_over_http(here: Path, model: cosa.Predictor, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # MLflow starts uvicorn by its name.
    words = ["-m", str(here / "checkpoint"), "--env-manager", "local", "-h", "127.0.0.1", "-p", str(port)]
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "models", "serve", *words], stdout=output, stderr=output, cwd=ROOT,
            start_new_session=True, env={**os.environ, "PATH": path},
        )  # fmt: skip
    try:
        for _ in range(240):
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5) as answer:
                if answer.status == 200:
                    break
            assert server.poll() is None, log.read_text()
            time.sleep(0.5)

        def ask(rows: list[dict[str, str]], **params: object) -> tuple[int, Any]:
            body = json.dumps({"dataframe_records": rows, "params": params}).encode()
            request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"})
            try:
                with urllib.request.urlopen(request, timeout=120) as answer:
                    return answer.status, json.loads(answer.read())
            except urllib.error.HTTPError as error:
                return error.code, json.loads(error.read())

        files = media(here)
        status, found = ask([{"media": encoded(file)} for file in files])
        assert (status, [one["text"] for one in found["predictions"]]) == (200, model.caption(files))
        _, found = ask([{"media": encoded(file)} for file in files], task="embed")
        assert np.array_equal(np.array([one["vector"] for one in found["predictions"]]), model.embed_video(files))
        _, found = ask([{"text": "rain"}], task="embed")
        assert np.array_equal(found["predictions"][0]["vector"], model.embed_text("rain"))
        status, found = ask([{"media": "/etc/passwd"}])
        assert status == 400
        assert "'media' is not base64" in found["message"]
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=60)
