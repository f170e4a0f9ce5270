"""What a chain trained is used: a command, Python, a server and the chain's own evaluations say the same of the same clips."""

import base64
import json
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest

import cosa
from tests.end_to_end.commands import run
from tests.end_to_end.conftest import SmallRun

pytestmark = pytest.mark.slow


def result(chain: SmallRun, stage: str) -> Path:
    (folder,) = (path for path in (chain.folder / stage).iterdir() if not path.name.startswith("."))
    return folder


def predictions(chain: SmallRun, stage: str, task: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((result(chain, stage) / f"predictions_{task}.json").read_text())
    return found


def clip(chain: SmallRun, video_id: str) -> Path:
    return result(chain, "corpus") / "clips" / f"{video_id}.mp4"


def served(chain: SmallRun, stage: str, rows: list[dict[str, str]], **params: object) -> pd.DataFrame:
    model = mlflow.pyfunc.load_model(str(result(chain, stage) / "checkpoint"))
    answers: pd.DataFrame = model.predict(pd.DataFrame(rows), params=params)
    return answers


def content(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def test_captions(small_run: SmallRun) -> None:
    known = predictions(small_run, "test-captioning", "captioning")
    files = [clip(small_run, one["video_id"]) for one in known]
    captions = [one["caption"] for one in known]
    assert cosa.load(result(small_run, "captioning"), device="cpu").caption(files) == captions
    done = run("caption", *map(str, files), "--json", "--storage", str(small_run.storage), "--experiment", "quickstart")
    assert [one["caption"] for one in json.loads(done.output[done.output.index("[") :])] == captions
    assert served(small_run, "captioning", [{"media": content(file)} for file in files])["text"].tolist() == captions


def test_answers(small_run: SmallRun) -> None:
    known = predictions(small_run, "test-answers", "question_answering")[:12]
    model = cosa.load(result(small_run, "answers"), device="cpu")
    files = [clip(small_run, one["video_id"]) for one in known]
    answers = [one["answer"] for one in known]
    assert model.answer(files, [one["question"] for one in known]) == answers
    done = run("ask", str(files[0]), known[0]["question"], "--storage", str(small_run.storage))
    assert done.output.splitlines()[-1] == answers[0]
    rows = [{"media": content(file), "text": one["question"]} for file, one in zip(files, known, strict=True)]
    assert served(small_run, "answers", rows, task="answer")["text"].tolist() == answers


def test_rankings(small_run: SmallRun, tmp_path: Path) -> None:
    known = predictions(small_run, "test-retrieval", "retrieval")
    model = cosa.load(result(small_run, "retrieval"), device="cpu")
    ids = list(dict.fromkeys(one["video_id"] for one in known))
    for name in ids:
        (tmp_path / f"{name}.mp4").hardlink_to(clip(small_run, name))
    index = tmp_path.with_suffix(".index")
    storage = ("--storage", str(small_run.storage))
    assert run("index", str(tmp_path), "--out", str(index), *storage).code == 0
    texts = [one["text"] for one in known]
    probabilities = model.match(texts, [tmp_path / f"{name}.mp4" for name in ids])
    stored = cosa.SearchIndex.open(index)
    assert np.array_equal(stored.vectors, model.embed_video([tmp_path / f"{name}.mp4" for name in sorted(ids)]))
    for row, (one, hits) in enumerate(zip(known, stored.search(model.embed_text(texts), model.settings.rerank), strict=True)):
        again = stored.rerank(model, one["text"], hits)
        ranked = [hit.path.stem for hit in again]
        assert one["ranked"][: len(ranked)] == ranked[:10]
        scores = dict(zip(ids, probabilities[row], strict=True))
        assert one["scores"][: len(ranked)] == pytest.approx([scores[name] for name in ranked[:10]], abs=1.1e-4)
    first = run("search", str(index), texts[0], "--rerank", "--json", "--top", "1")
    (found,) = json.loads(first.output)
    assert found["score"] == pytest.approx(known[0]["scores"][0], abs=1.1e-4)
    equal = [name for name, score in zip(known[0]["ranked"], known[0]["scores"], strict=True) if score > found["score"] - 2e-4]
    assert Path(found["file"]).stem in equal, "another number of threads rounds otherwise"


def test_a_checkpoint_says_what_it_is(small_run: SmallRun) -> None:
    card = (result(small_run, "captioning") / "checkpoint" / "README.md").read_text()
    assert "finetuned for captioning on clips/train" in card
    settings = json.loads((result(small_run, "captioning") / "checkpoint" / "settings.json").read_text())
    assert settings["extraction"]["fps"] == 4
    assert settings["origin"]["tasks"] == ["captioning"]


def test_mlflow_has_the_model_and_gives_it_back(small_run: SmallRun, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.tracking import MlflowClient

    from workflows.records.mlflow_store import local_store

    monkeypatch.setenv("MLFLOW_TRACKING_URI", local_store(small_run.storage))
    client = MlflowClient(tracking_uri=local_store(small_run.storage))
    experiment = client.get_experiment_by_name("quickstart")
    assert experiment is not None
    run_id = json.loads((result(small_run, "captioning") / "manifest.json").read_text())["mlflow_run_id"]
    for name, stage in ((run_id, "captioning"), ("demo-retrieval", "retrieval")):
        loaded = cosa.load(f"mlflow:{name}", device="cpu")
        assert loaded.checkpoint is not None
        own = result(small_run, stage) / "checkpoint" / "model.safetensors"
        assert (loaded.checkpoint / "model.safetensors").samefile(own), "it is stored once"
    [model] = client.search_logged_models([experiment.experiment_id], filter_string=f"source_run_id = '{run_id}'")
    again = mlflow.pyfunc.load_model(f"models:/{model.model_id}")
    file = clip(small_run, predictions(small_run, "test-captioning", "captioning")[0]["video_id"])
    expected = predictions(small_run, "test-captioning", "captioning")[0]["caption"]
    assert again.predict(pd.DataFrame({"media": [content(file)]}))["text"].tolist() == [expected]
