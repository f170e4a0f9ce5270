"""Where and on how many machines stages run: what is refused when the spec is read, and that none of it changes a result."""

from pathlib import Path

import pytest

from cosa.errors import UserError
from tests.workflows.planning.planned import finish, lay_out, load, plan
from workflows.planning.plan import check_inputs
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
        (("cluster.workers=3",), r"stages.pretrain.corpora.0.batch_size: 2 cannot be split evenly over 3 workers; choose a"),
        (("stages.retrieval.workers=3",), r"stages.retrieval.batch_size: 2 cannot be split evenly over 3 workers"),
        (
            (*ONLY_MLM, "stages.pretrain.accumulate=3"),
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
