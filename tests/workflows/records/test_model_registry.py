"""Registered models: one version a result, the best one is the champion."""

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from cosa.checkpoints.loading import load_model
from cosa.checkpoints.native import save_checkpoint
from tests.support import tiny_model
from workflows.records.mlflow_store import TrackingStore, local_store
from workflows.records.model_registry import FINGERPRINT, METRIC_MODE, METRIC_NAME, METRIC_VALUE, SHA256
from workflows.records.tracking import Tracker
from workflows.terminal.reporter import Reporter

CHECKPOINT_FILES = {"model.safetensors": "weights", "config.json": "{}"}


def version_tags(fingerprint: str, value: float | None, metric: str = "cider", mode: str = "max") -> dict[str, str]:
    tags = {FINGERPRINT: fingerprint, SHA256: f"weights of {fingerprint}", "cosa.stage": "captioning"}
    if value is not None:
        tags |= {METRIC_NAME: metric, METRIC_VALUE: repr(value), METRIC_MODE: mode}
    return tags


class Registry:
    """One registered model in a local store, and a checkpoint that becomes versions of it."""

    def __init__(self, folder: Path, name: str):
        self.folder, self.name = folder, name
        self.uri = local_store(folder)
        self.checkpoint = folder / name
        self.checkpoint.mkdir()
        for file, text in CHECKPOINT_FILES.items():
            (self.checkpoint / file).write_text(text)

    def add(self, *versions: dict[str, str]) -> str:
        """Register versions as one invocation does; what was said."""
        reporter = Reporter(Console(file=io.StringIO()))
        tracker = Tracker(
            TrackingStore(self.uri, "demo", str(self.folder / "artifacts")), self.folder / "unsent.jsonl", reporter
        )
        run = tracker.new_run("stage")
        for tags in versions:
            run.register(self.checkpoint, "checkpoint", self.name, tags)
        tracker.close()
        assert not (self.folder / "unsent.jsonl").exists()
        return str(reporter.console.file.getvalue())  # type: ignore[attr-defined]

    @property
    def client(self) -> Any:
        from mlflow.tracking import MlflowClient

        return MlflowClient(tracking_uri=self.uri)

    @property
    def versions(self) -> list[str]:
        """Fingerprints by version."""
        found = self.client.search_model_versions(f"name = '{self.name}'")
        return [version.tags[FINGERPRINT] for version in sorted(found, key=lambda version: int(version.version))]

    @property
    def champion(self) -> Any:
        return self.client.get_model_version_by_alias(self.name, "champion")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Making its tables takes seconds."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def registry(store: Path, request: pytest.FixtureRequest) -> Registry:
    return Registry(store, request.node.name)


def test_the_best_version_is_the_champion(registry: Registry) -> None:
    champions = []
    for fingerprint, value in (("a", None), ("b", None), ("c", 3.0), ("d", 2.0), ("e", 3.0), ("f", None), ("g", 4.0)):
        said = registry.add(version_tags(fingerprint, value))
        champions.append(registry.champion.tags[FINGERPRINT])
        version = len(champions)
        rank = "its champion" if champions[-1] == fingerprint else f"its champion is version {registry.champion.version}"
        assert " ".join(said.split()) == f"captioning is registered as {registry.name}, version {version} ({rank})"
    assert champions == ["a", "a", "c", "c", "c", "c", "g"]
    assert registry.versions == list("abcdefg")


def test_lower_may_be_better(registry: Registry) -> None:
    registry.add(*(version_tags(str(rank), rank, "text_to_video_median_rank", "min") for rank in (5.0, 3.0, 4.0)))
    assert registry.champion.tags[FINGERPRINT] == "3.0"


def test_a_result_is_registered_once(registry: Registry) -> None:
    registry.add(version_tags("a", 1.0), version_tags("b", 2.0), version_tags("a", 1.0))
    registry.add(version_tags("b", 2.0))
    assert registry.versions == ["a", "b"]
    other_weights = {**version_tags("b", 1.5), SHA256: "of a forced run on other hardware"}
    registry.add(other_weights)
    assert registry.versions == ["a", "b", "b"]
    assert int(registry.champion.version) == 2


def test_models_of_different_tasks_are_not_compared(registry: Registry) -> None:
    registry.add(version_tags("a", 1.0))
    said = registry.add(version_tags("b", 99.0, "accuracy")).replace("\n", " ")
    assert "champion (version 1) was selected by cider, the new version by accuracy; the champion stays" in said
    assert registry.champion.tags[FINGERPRINT] == "a"
    assert registry.versions == ["a", "b"]


def test_a_checkpoint_that_is_not_in_mlflow_is_uploaded_first(registry: Registry) -> None:
    registry.add(version_tags("a", 1.0))
    (version,) = registry.client.search_model_versions(f"name = '{registry.name}'")
    uploaded = {Path(item.path).name for item in registry.client.list_artifacts(version.run_id, "checkpoint")}
    assert uploaded == set(CHECKPOINT_FILES)


def test_the_champion_can_be_downloaded_and_loaded(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    model = tiny_model()
    for file in registry.checkpoint.iterdir():
        file.unlink()
    save_checkpoint(model, registry.checkpoint)
    registry.add(version_tags("a", 1.0))
    monkeypatch.setattr("mlflow.tracking._tracking_service.utils._tracking_uri", None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.uri)
    target = registry.folder / "downloaded"
    target.mkdir()
    folder = mlflow.artifacts.download_artifacts(f"models:/{registry.name}@champion", dst_path=str(target))
    loaded = load_model(Path(folder))
    for (name, expected), (other, actual) in zip(model.state_dict().items(), loaded.state_dict().items(), strict=True):
        assert name == other
        assert torch.equal(expected, actual), name
