"""Where and on how many machines stages run: what is refused when the spec is read, and that none of it changes a result."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import app
from cosa.errors import UserError
from tests.workflows.planning.planned import finish, lay_out, load, plan
from workflows.commands.validate import validate
from workflows.planning import room
from workflows.planning.plan import check_inputs
from workflows.spec import machine, scaling
from workflows.spec.problems import SpecError


@pytest.fixture(autouse=True)
def _spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path, monkeypatch)


ELASTIC = ("cluster.min_workers=1", "cluster.max_workers=2")
ONLY_MLM = ('stages.pretrain.corpora.0.objectives=["mlm"]', 'stages.pretrain.corpora.1.objectives=["mlm"]')
FIXED_SWEEP = "stages.retrieval.workers=1"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ("cluster.address=10.0.0.1",),
            r"cluster.address: '10.0.0.1' is not an address; expected local, auto, HOST:PORT or ray://",
        ),
        (("cluster.address=10.0.0.1:99999",), r"cluster.address: '10.0.0.1:99999' is not an address"),
        (("tracking.uri=ftp://me:pw@host",), r"tracking.uri: 'ftp://\*\*\*@host' is not a tracking store; expected http"),
        (("cluster.min_workers=1",), r"cluster.min_workers: set max_workers, too"),
        (("cluster.max_workers=1",), r"cluster.max_workers: set min_workers, too"),
        (("cluster.min_workers=3", "cluster.max_workers=2"), r"cluster.min_workers: 3 is more than max_workers 2"),
        (
            (*ELASTIC, "cluster.workers=2"),
            r"cluster.workers: a fixed number and .* exclude each other",
        ),
        (
            (*ELASTIC, "cluster.address=auto", "cluster.placement=strict_spread"),
            r"cluster.placement: strict_spread may leave no room .* choose spread",
        ),
        (
            ("cluster.placement=strict_spread",),
            r"cluster.placement: strict_spread needs .* address local is one",
        ),
        (("cluster.placement=scatter",), r"cluster.placement: 'scatter' is not a valid value"),
        (ELASTIC, r"stages.retrieval.sweep: trials run side by side .* set stages.retrieval.workers"),
        (
            (FIXED_SWEEP, "cluster.min_workers=2", "cluster.max_workers=3", "stages.pretrain.corpora.1.batch_size=4"),
            r"stages.pretrain.corpora.1.batch_size: 4 cannot be split evenly over 3 .* 2 to 3: a multiple of 6 suits",
        ),
        (
            (FIXED_SWEEP, *ELASTIC, 'stages.pretrain.corpora.0.objectives=["citm"]', "stages.pretrain.corpora.0.batch_size=4"),
            r"stages.pretrain.corpora.0.batch_size: 4 is too small .* at least 6 with 2 workers .*lower cluster.max_workers",
        ),
    ],
)
def test_impossible_combinations_are_refused_when_the_spec_is_read(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load(*overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        (*ELASTIC, FIXED_SWEEP, "cluster.placement=spread"),
        ("cluster.address=ray://10.0.0.1:10001", "cluster.cpus_per_worker=2"),
        ("cluster.address=10.0.0.1:6379", "cluster.placement=strict_spread", "cluster.workers=2"),
        ("cluster.placement=strict_pack", "cluster.cpus_per_worker=3"),
    ],
)
def test_none_of_it_changes_a_result(overrides: tuple[str, ...]) -> None:
    assert [step.fingerprint for step in plan(*overrides).steps] == [step.fingerprint for step in plan().steps]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ("cluster.workers=3", "cluster.cpus=3"),
            r"stages.pretrain.corpora.0.batch_size: 2 cannot be split evenly over 3 workers; choose a",
        ),
        (
            ("stages.retrieval.workers=3", "cluster.cpus=3"),
            r"stages.retrieval.batch_size: 2 cannot be split evenly over 3 workers",
        ),
        (
            (*ONLY_MLM, "stages.pretrain.accumulate=3", "cluster.cpus=1"),
            r"stages.pretrain.corpora.0.batch_size: 2 cannot be split evenly over 1 worker with accumulate: 3",
        ),
    ],
)
def test_batches_are_looked_at_before_the_first_stage_runs(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_inputs(plan(*overrides))


def test_batches_of_stages_that_do_not_run_and_of_trials_are_not() -> None:
    finish(plan())
    changed = plan("cluster.workers=3", "stages.retrieval.sweep.batch_size=[3, 6]")
    assert [step.name for step in changed.to_run][:1] == ["retrieval"]
    check_inputs(changed)


ODD = "stages.pretrain.corpora.1.batch_size=3"
ONE_CORE = "cluster.cpus=1"


def set_gpus(monkeypatch: pytest.MonkeyPatch, number: int | None) -> None:
    """Let the machine have so many GPUs; None: only Ray can tell."""
    monkeypatch.setattr(scaling, "most_gpus", lambda: number)
    monkeypatch.setattr(room, "most_gpus", lambda: number)


@pytest.fixture
def no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    set_gpus(monkeypatch, 0)
    monkeypatch.setattr(scaling, "cores", lambda: 8)
    monkeypatch.setattr(room, "cores", lambda: 8)


def test_the_number_of_workers_of_a_machine_without_gpus_is_known(no_gpus: None) -> None:
    with pytest.raises(UserError, match=r"^--set .*: stages.pretrain.corpora.1.batch_size: 3 cannot be split evenly over 2"):
        check_inputs(plan(ODD))
    spec = Path("spec.yaml")
    spec.write_text(spec.read_text().replace("batch_size: 2", "batch_size: 3", 1))
    line = spec.read_text()[: spec.read_text().index("batch_size: 3")].count("\n") + 1
    with pytest.raises(UserError, match=rf"^spec.yaml:{line}:\d+: stages.pretrain.corpora.0.batch_size: 3 cannot be split"):
        check_inputs(plan())
    with pytest.raises(SpecError, match=rf"^spec.yaml:{line}:\d+: stages.pretrain.corpora.0.batch_size: 3 cannot be split"):
        validate([spec], [])
    assert isinstance(CliRunner().invoke(app, ["plan", "spec.yaml"]).exception, UserError)


@pytest.mark.parametrize(
    "override",
    [ONE_CORE, "cluster.cpus_per_worker=8", "cluster.address=auto", "cluster.gpus_per_worker=1", "cluster.workers=3"],
)
def test_what_splits_and_what_only_the_cluster_tells_is_no_problem(override: str, no_gpus: None) -> None:
    check_inputs(plan(ODD, "stages.pretrain.corpora.0.batch_size=3", "stages.retrieval.batch_size=3", override))


@pytest.mark.parametrize(
    ("gpus", "overrides", "line"),
    [
        (
            0,
            ("cluster.gpus_per_worker=1",),
            "cluster.gpus_per_worker: a worker gets 1 GPU, but this machine has none; leave it out: GPUs are used wherever "
            "there are any",
        ),
        (
            1,
            ("cluster.gpus_per_worker=2",),
            "cluster.gpus_per_worker: a worker gets 2 GPUs, but this machine has 1 GPU; lower it to 1",
        ),
        (
            1,
            ("cluster.workers=2", "cluster.gpus_per_worker=1"),
            "cluster.workers: 2 workers x 1 GPU need 2 GPUs, but this machine has 1 GPU; lower it to 1, or leave it out",
        ),
        (
            0,
            ("cluster.cpus_per_worker=9",),
            "cluster.cpus_per_worker: a worker gets 9 cores, but this machine has 8 cores; lower it to 8",
        ),
    ],
)
def test_what_no_worker_finds_on_this_machine_is_reported_by_plan_and_validate(
    gpus: int,
    overrides: tuple[str, ...],
    line: str,
    no_gpus: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_gpus(monkeypatch, gpus)
    assert plan(*overrides).missing == (line,)
    validate([Path("spec.yaml")], overrides)  # The spec is right: it may be meant for another machine.
    assert capsys.readouterr().out.endswith(f"\n  not on this machine: {line}\n")


def test_gpus_that_nobody_has_counted_are_no_problem(no_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (None, 2):
        set_gpus(monkeypatch, number)
        assert plan("cluster.gpus_per_worker=1").missing == ()


def test_batches_are_not_checked_for_workers_that_do_not_fit(no_gpus: None) -> None:
    made = plan("cluster.workers=16")
    assert made.missing == (
        "cluster.workers: 16 workers x 1 CPU need 16 cores, but this machine has 8 cores; lower it to 8, or leave it out",
    )
    check_inputs(made)


def test_gpus_are_counted_without_their_libraries(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gpus, devices = tmp_path / "gpus", tmp_path / "dev"
    monkeypatch.setattr(machine, "NVIDIA_GPUS", gpus)
    monkeypatch.setattr(machine, "DEVICES", devices)
    monkeypatch.setattr(machine, "UNCOUNTED_GPUS", (devices / "dxg",))
    assert machine.most_gpus() == 0
    devices.mkdir()
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (devices / name).touch()
    assert machine.most_gpus() == 2
    (devices / "dxg").touch()
    assert machine.most_gpus() is None


def test_batches_of_trials_are_checked(no_gpus: None) -> None:
    with pytest.raises(UserError, match=r"stages.retrieval.sweep.batch_size: 3 cannot be split evenly over 2"):
        check_inputs(plan("stages.retrieval.sweep={batch_size: [4, 3]}"))


def test_a_batch_that_no_trial_has_is_no_problem(no_gpus: None) -> None:
    check_inputs(plan("stages.retrieval.sweep={batch_size: [4, 2]}", "stages.retrieval.batch_size=3"))
    drawn = "stages.retrieval.sweep={batch_size: {integers: [2, 4]}, search: random, trials: 2}"
    check_inputs(plan(drawn, "stages.retrieval.batch_size=3"))


def test_a_gpu_leaves_the_number_of_workers_open(no_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    set_gpus(monkeypatch, 1)
    check_inputs(plan(ODD))
    with pytest.raises(UserError, match="over 2 workers"):
        check_inputs(plan(ODD, "cluster.gpus_per_worker=0"))


@pytest.mark.parametrize(("quota", "count"), [("max 100000", 8), ("300000 100000", 3), ("50000 100000", 1), (None, 8)])
def test_a_container_has_the_cores_of_its_quota(
    quota: str | None, count: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(machine, "CPU_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 8)
    if quota is not None:
        (tmp_path / "cpu.max").write_text(quota)
    assert machine.cores() == count
