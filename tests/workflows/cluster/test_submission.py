"""The spec that travels with a submitted run, and clusters that cannot be reached. No Ray is started."""

import json
from pathlib import Path
from typing import Any

import pytest

from cosa.errors import UserError
from tests.workflows.planning.planned import lay_out
from workflows.cluster.submission import client_of, text_of, travelling_spec
from workflows.planning.plan import make_plan
from workflows.spec.load import load_spec
from workflows.spec.yaml_text import parse_yaml

ROOT = Path(__file__).parents[3]
SPECS = sorted((ROOT / "experiments").glob("*/*.yaml")) + sorted((ROOT / "experiments").glob("*.yaml"))


def test_texts_with_any_character_travel() -> None:
    text = "one\x85two\u2028three\u2029four 🎉 café"
    assert parse_yaml(text_of({"name": text}), "experiment.yaml").plain() == {"name": text}


@pytest.mark.parametrize("spec", [s for s in SPECS if s.parent.name != "base"], ids=lambda path: str(path.stem))
def test_every_experiment_travels_unchanged(spec: Path, tmp_path: Path) -> None:
    """The one file says what the chain of files said: stages and model are the same when it is read elsewhere."""
    here = load_spec(spec, ["storage=/shared/results", "cluster.address=auto"], environment={"COSA_DATA": "/shared/data"})
    sent = tmp_path / "experiment.yaml"
    sent.write_text(text_of(travelling_spec(here)))
    there = load_spec(sent, environment={})
    assert there.section.cluster.address == "auto"
    assert there.section.storage == "/shared/results"
    assert there.section.model == here.section.model
    assert list(there.stages) == list(here.stages)
    for name, stage in there.stages.items():
        mine = here.stages[name].model_dump()
        for key in ("init_from", "checkpoint"):
            if "/" in (mine.get(key) or ""):
                mine[key] = str(Path(mine[key]).absolute())
        assert stage.model_dump() == mine


def test_paths_become_absolute_and_results_are_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path, monkeypatch)
    here = load_spec(Path("spec.yaml"), ["storage=/shared/results", "cluster.cpus=2", "cluster.workers=2"], environment={})
    sent = travelling_spec(here)
    assert sent["cluster"] == {"workers": 2, "address": "auto"}
    own = sent["datasets"]["own"]
    assert own["root"] == str(tmp_path / "own/clips")
    assert own["splits"]["train"]["captions"] == str(tmp_path / "own/train.json")
    assert sent["datasets"]["made"]["root"] == "clips"  # inside of the result of a stage
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "experiment.yaml").write_text(json.dumps(sent))
    fingerprints = [step.fingerprint for step in make_plan(here).steps]
    monkeypatch.chdir(elsewhere)
    there = make_plan(load_spec(Path("experiment.yaml"), environment={}))
    assert [step.fingerprint for step in there.steps] == fingerprints
    assert None not in fingerprints


def test_paths_of_shards_and_of_decoding_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("spec.yaml").write_text(
        """
        name: web
        storage: /shared/results
        datasets:
          web: {media: image, splits: {train: {shards: ["web/{0..9}.tar", "s3://bucket/web/0.tar?region=eu"]}}}
          clips: {media: video, root: clips, linked_folders: [disk2], decode: {cache: frames}, splits: {train: train.json}}
        stages: {samples: {kind: index, dataset: web}}
        """,
        encoding="utf-8",
    )
    sent = travelling_spec(load_spec(Path("spec.yaml"), environment={}))["datasets"]
    assert sent["web"]["splits"]["train"]["shards"] == [f"{tmp_path}/web/{{0..9}}.tar", "s3://bucket/web/0.tar?region=eu"]
    assert sent["clips"]["linked_folders"] == [f"{tmp_path}/disk2"]
    assert sent["clips"]["decode"]["cache"] == f"{tmp_path}/frames"


def test_a_profile_is_applied_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path, monkeypatch)
    storage = f"storage={tmp_path / 'results'}"
    here = load_spec(Path("spec.yaml"), [storage, "profile=smoke", "cluster.workers=2"], environment={})
    Path("sent.yaml").write_text(text_of(travelling_spec(here)), encoding="utf-8")
    there = load_spec(Path("sent.yaml"), environment={}).section
    assert (there.name, there.cluster.workers) == (here.name, 2)


def test_a_relative_storage_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path, monkeypatch)
    with pytest.raises(UserError, match=r"storage: 'storage' is relative, .* --storage /shared/results"):
        travelling_spec(load_spec(Path("spec.yaml"), environment={}))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:8265", r"--address 127.0.0.1:8265: expected the dashboard of the cluster, such as http://"),
        ("http://127.0.0.1:9", r"--address http://127.0.0.1:9: nothing answers .*docs/cluster.md"),
    ],
)
def test_a_cluster_that_cannot_be_reached(address: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        client_of(address)


class Client:
    """A dashboard whose connections break: each sends the full log so far again."""

    def __init__(self, *connections: tuple[list[str], str]):
        self.connections = list(connections)
        self.status = ""

    async def tail_job_logs(self, job: str) -> Any:
        texts, self.status = self.connections.pop(0)
        for text in texts:
            yield text
        if self.status == "RUNNING":
            raise RuntimeError("WebSocket connection closed unexpectedly")

    def get_job_status(self, job: str) -> Any:
        from ray.job_submission import JobStatus

        return JobStatus(self.status)


@pytest.mark.parametrize(("status", "succeeded"), [("SUCCEEDED", True), ("FAILED", False), ("STOPPED", False)])
def test_following_continues_after_a_lost_connection(monkeypatch: pytest.MonkeyPatch, status: str, succeeded: bool) -> None:
    from workflows.cluster import submission

    client = Client(
        (["first ", "second\n"], "RUNNING"), (["first second\nth"], "RUNNING"), (["first second\n", "third\n"], status)
    )
    monkeypatch.setattr(submission, "client_of", lambda address: client)
    monkeypatch.setattr(submission, "RETRY_SECONDS", 0.0)
    shown: list[str] = []
    assert submission.follow("job", "http://127.0.0.1:8265", shown.append) is succeeded
    assert "".join(shown) == "first second\nthird\n"


@pytest.mark.parametrize(
    ("end", "code", "printed"), [(True, 0, "job-1 succeeded"), (False, 1, "failed; finished work is saved")]
)
def test_the_command_ends_as_the_job_did(
    end: bool, code: int, printed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(lambda *_: end, monkeypatch) == code
    assert printed in capsys.readouterr().out


def test_ctrl_c_leaves_the_job_alone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def leave(*_: object) -> bool:
        raise KeyboardInterrupt

    assert command(leave, monkeypatch) == 130
    said = capsys.readouterr().out
    assert "the job continues; follow it again: RAY_AUTH_MODE=token ray job logs --follow job-1" in said
    assert "stop it (training saves first):  RAY_AUTH_MODE=token ray job stop job-1" in said


def command(follow: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    """Exit code of `cosa submit` whose job is followed by a function."""
    import cli
    from workflows.cluster import submission

    monkeypatch.setattr(submission, "submit", lambda chosen, say: "job-1")
    monkeypatch.setattr(submission, "follow", follow)
    monkeypatch.setattr("sys.argv", ["cosa", "submit", "spec.yaml", "--address", "http://head:8265"])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    try:
        cli.main()
    except SystemExit as ending:
        return int(str(ending.code))
    return 0
