"""A team's set-up (docs/team.md): runs in PostgreSQL, artifacts and checkpoints of unfinished training on S3."""

import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import psutil
import psycopg
import pytest
from mlflow.tracking import MlflowClient
from PIL import Image
from safetensors.torch import load_file

from tests.end_to_end.commands import losses, none_left, processes_of, run, run_disturbed, sets
from tests.end_to_end.services import (
    BUCKET,
    KEYS,
    PASSWORD,
    USER,
    Bucket,
    bucket,
    mlflow_server,
    postgres,
    postgres_programs,
)
from workflows.execution.checkpoint_storage import checkpoint_storage, remove_checkpoints, require_writable
from workflows.execution.checkpoints import saved_checkpoints
from workflows.execution.run_folder import RunFolder

pytestmark = pytest.mark.slow

SPEC = """\
name: team
cluster: {{workers: 2}}
model:
  vision: {{encoder: swin_tiny_patch4_window7_224, resolution: 32, patch_size: 8, window_size: 4, embed_dim: 16, depth: [1, 1],
           num_heads: [2, 2]}}
  text: {{vocabulary_size: 5000, hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 64}}
  contrastive_dim: 16
datasets:
  pictures: {{media: image, root: {folder}/images, splits: {{train: {folder}/captions.json}}}}
stages:
  pretrain:
    kind: pretrain
    corpora: [{{dataset: pictures, objectives: [itc, cap], steps: {steps}, batch_size: 4}}]
    log_every: 1
    evaluations_per_run: 1
    checkpoint_every: 2
  test: {{kind: evaluate, checkpoint: pretrain, dataset: pictures, split: train, tasks: [retrieval]}}
"""
STEPS = 16


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "images").mkdir()
    colours = np.random.default_rng(0).integers(0, 256, (8, 1, 1, 3), dtype=np.uint8)
    for number, colour in enumerate(colours):
        Image.fromarray(np.broadcast_to(colour, (32, 32, 3))).save(folder / "images" / f"p{number}.jpg")
    captions = [{"video_id": f"p{number}", "desc": f"picture number {number}"} for number in range(8)]
    (folder / "captions.json").write_text(json.dumps(captions))
    (folder / "team.yaml").write_text(SPEC.format(folder=folder, steps=STEPS))
    return folder / "team.yaml"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with bucket(tmp_path_factory.mktemp("s3") / "moto.log") as made:
        yield made


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bucket's credentials in the environment, where they belong."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    programs = postgres_programs()
    if programs is None:  # they come with the system: only root can install them, which `make test` must not need
        pytest.skip("PostgreSQL's programs are not installed (apt-get install postgresql)")
    with postgres(programs) as address:
        yield address


def stage_folder(experiment: Path, stage: str) -> Path:
    (folder,) = (path for path in (experiment / stage).iterdir() if not path.name.startswith("."))
    return folder


def files_with(text: str, *folders: Path) -> list[Path]:
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if text.encode() in path.read_bytes()]


def runs_of(client: MlflowClient, name: str) -> dict[str | None, list]:
    """Runs of an experiment by stage; None: those of invocations."""
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    found: dict[str | None, list] = {}
    for one in client.search_runs([experiment.experiment_id]):
        found.setdefault(one.data.tags.get("cosa.stage"), []).append(one)
    return found


@pytest.fixture(scope="module")
def through_server(tmp_path_factory: pytest.TempPathFactory, spec: Path, store: Bucket, database: str) -> Path:
    """The undisturbed run, recorded by `mlflow server`; what the server has is looked at while it is there."""
    storage = tmp_path_factory.mktemp("through-server")
    with mlflow_server(database, store, storage.with_suffix(".log")) as server:
        done = run(
            "run-experiment", str(spec), *sets(f"storage={storage}", f"tracking.uri={server}", "tracking.checkpoints=upload")
        )
        assert done.code == 0, done.output
        assert f"MLflow:    {server}/#/experiments/" in done.output
        _look_at_server(MlflowClient(tracking_uri=server), storage, store)
        request = urllib.request.Request(f"{server}/api/2.0/mlflow/experiments/search", headers={"Host": "evil.example"})
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(request, timeout=5)
    assert none_left(storage) == []
    return storage


def _look_at_server(client: MlflowClient, storage: Path, store: Bucket) -> None:
    runs = runs_of(client, "team")
    assert {stage: len(found) for stage, found in runs.items()} == {None: 1, "pretrain": 1, "test": 1}
    assert all(one.info.status == "FINISHED" for found in runs.values() for one in found)
    (trained,) = runs["pretrain"]
    assert trained.data.params["corpora.0.batch_size"] == "4"
    history = {point.step: point.value for point in client.get_metric_history(trained.info.run_id, "train/loss")}
    assert history == losses(stage_folder(storage / "team", "pretrain"))
    assert len(history) == STEPS
    weights = Path(client.download_artifacts(trained.info.run_id, "checkpoint/model.safetensors"))
    kept = stage_folder(storage / "team", "pretrain") / "checkpoint" / "model.safetensors"
    assert weights.read_bytes() == kept.read_bytes()
    assert any(key.endswith(f"{trained.info.run_id}/artifacts/curves.png") for key in store.keys("mlflow/"))
    assert not (storage / "mlflow-artifacts").exists()


def test_runs_metrics_and_artifacts_reach_the_server(through_server: Path) -> None:
    assert stage_folder(through_server / "team", "test").is_dir()
    assert files_with(PASSWORD, through_server) == []


def test_training_resumes_from_s3_and_a_database_keeps_its_password_to_itself(
    tmp_path: Path, spec: Path, store: Bucket, database: str, through_server: Path, keys: None
) -> None:
    """The driver is killed, the newest checkpoint on S3 is damaged; the next invocation ends as if nothing had happened."""
    storage, uri = tmp_path / "storage", f"postgresql://{USER}:{PASSWORD}@{database}"
    arguments = ("run-experiment", str(spec), *sets(
        f"storage={storage}", "name=direct", "stages.test=", f"cluster.checkpoint_storage={store.address('unfinished')}",
    ))  # fmt: skip
    run_disturbed(lambda: len(known(store)) >= 2,
                  lambda driver: kill_all(driver, storage), *arguments, *sets(f"tracking.uri={uri}"))  # fmt: skip
    partial = stage_folder(storage / "direct", "pretrain")
    assert not (partial / "ray").exists()
    address = (partial / "checkpoint_storage.txt").read_text().strip()
    assert address.startswith(f"s3://{BUCKET}/unfinished/direct-pretrain-{partial.stem}-")
    newest, step = damage_newest(store, RunFolder.at(address, "direct-pretrain"))
    assert step < STEPS

    uri_in_spec = f"tracking.uri=postgresql://{USER}:${{env:DATABASE_PASSWORD}}@{database}"
    resumed = run(*arguments, *sets(uri_in_spec), DATABASE_PASSWORD=PASSWORD)
    assert resumed.code == 0, resumed.output
    assert f"{newest} is damaged: training_state.pt differs from what was written" in resumed.output
    assert "no checkpoint is intact" not in resumed.output
    assert none_left(storage) == []
    ours, undisturbed = stage_folder(storage / "direct", "pretrain"), stage_folder(through_server / "team", "pretrain")
    assert losses(ours) == losses(undisturbed)
    weights, expected = (load_file(folder / "checkpoint" / "model.safetensors") for folder in (ours, undisturbed))
    assert all((weights[name] == expected[name]).all() for name in expected)
    assert store.keys("unfinished/") == []
    assert not (ours / "checkpoint_storage.txt").exists()

    client = MlflowClient(tracking_uri=uri)
    runs = runs_of(client, "direct")
    assert sorted((stage or "", one.info.status) for stage, found in runs.items() for one in found) == [
        ("", "FINISHED"), ("", "KILLED"), ("pretrain", "FINISHED"),  # the next invocation ended that of the killed process
    ]  # fmt: skip
    (trained,) = runs["pretrain"]
    history = [(point.step, point.value) for point in client.get_metric_history(trained.info.run_id, "train/loss")]
    assert sorted(history) == sorted(losses(ours).items())
    assert (storage / "mlflow-artifacts" / "direct" / trained.info.run_id / "artifacts" / "curves.png").is_file()
    for secret in (PASSWORD, KEYS["AWS_SECRET_ACCESS_KEY"]):
        assert files_with(secret, storage, through_server) == []
        assert secret not in resumed.output
        assert [table for table, content in tables_of(uri).items() if secret in content] == []


def known(store: Bucket) -> set[str]:
    """Checkpoints in Ray's books of the run; one that is on S3 may not be among them yet."""
    books = [key for key in store.keys("unfinished/") if key.endswith("/checkpoint_manager_snapshot.json")]
    content = store.client.get_object(Bucket=BUCKET, Key=books[0])["Body"].read().decode() if books else ""
    return set(re.findall(r"checkpoint_\d{8}", content))


def kill_all(driver: subprocess.Popen[str], storage: Path) -> None:
    """As if the machine had lost its power: the driver, its workers and all of Ray at once."""
    driver.kill()
    for process in processes_of(storage):
        with suppress(psutil.NoSuchProcess):
            process.kill()


def damage_newest(store: Bucket, folder: RunFolder) -> tuple[str, int]:
    complete = known(store)  # The kill may have left a part of the next one.
    step, newest = max((step, name) for step, name in saved_checkpoints(folder).items() if name in complete)
    where = {"Bucket": BUCKET, "Key": f"{folder.path.removeprefix(BUCKET)}/{newest}/training_state.pt".lstrip("/")}
    content = store.client.get_object(**where)["Body"].read()
    store.client.put_object(**where, Body=content[: len(content) // 2])
    return newest, step


def tables_of(uri: str) -> dict[str, str]:
    """All that a database holds, by table."""
    with closing(psycopg.connect(uri)) as connection, connection.cursor() as cursor:
        cursor.execute("select table_name from information_schema.tables where table_schema = 'public'")
        names = [name for (name,) in cursor.fetchall()]
        content = {}
        for name in names:
            cursor.execute(f'select * from "{name}"')
            content[name] = str(cursor.fetchall())
    assert "corpora.0.batch_size" in content["params"]
    return content


def test_forced_stages_leave_nothing_on_s3(tmp_path: Path, store: Bucket, keys: None) -> None:
    warnings: list[str] = []
    address = checkpoint_storage(tmp_path, store.address("forced"), "team-pretrain")
    assert checkpoint_storage(tmp_path, None, "other") == address  # it resumes where it was begun
    remove_checkpoints(tmp_path, warnings.append)  # before anything was saved
    address = checkpoint_storage(tmp_path, store.address("forced"), "team-pretrain")
    folder = RunFolder.at(address, "run")
    with folder.filesystem.open_output_stream(f"{folder.path}/checkpoint_00000002/model.safetensors") as file:
        file.write(b"weights")
    assert folder.names() == ["checkpoint_00000002"]
    with folder.opened("checkpoint_00000002") as here:
        assert (here / "model.safetensors").read_bytes() == b"weights"
    assert not here.exists()
    remove_checkpoints(tmp_path, warnings.append)
    assert (store.keys("forced/"), warnings, list(tmp_path.iterdir())) == ([], [], [])


def test_a_bucket_that_cannot_be_written_is_named_before_anything_runs(
    tmp_path: Path, spec: Path, store: Bucket, keys: None
) -> None:
    require_writable(store.address("probe"))
    assert store.keys("probe/") == []
    missing = store.address("x").replace(f"s3://{BUCKET}/", "s3://nobody/")
    refused = run("run-experiment", str(spec), *sets(f"storage={tmp_path}", f"cluster.checkpoint_storage={missing}"))
    assert refused.code == 1
    assert "cluster.checkpoint_storage: s3://nobody/x?endpoint_override=" in refused.output
    assert "check that the bucket exists" in refused.output
    assert not (tmp_path / "team" / "pretrain").exists()
