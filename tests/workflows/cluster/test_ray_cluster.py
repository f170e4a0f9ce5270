"""What a cluster can hold, and how batches are split over workers, without starting Ray."""

from pathlib import Path
from typing import Any

import pytest
import ray

from cosa.errors import UserError
from workflows.cluster import ray_cluster
from workflows.cluster.nodes import Node
from workflows.cluster.ray_cluster import Cluster, WorkerResources, groups_that_fit
from workflows.spec.problems import SpecError
from workflows.spec.scaling import check_batch
from workflows.spec.sections import ClusterSection
from workflows.stages.finetune import FinetuneSection
from workflows.stages.pretrain import PretrainSection


@pytest.fixture
def has(monkeypatch: pytest.MonkeyPatch) -> Any:
    def say(*nodes: dict[str, float], **resources: float) -> None:
        alive = [
            {"NodeID": f"{i}", "NodeManagerAddress": f"10.0.0.{i}", "Alive": True, "Resources": r}
            for i, r in enumerate(nodes or (resources,))
        ]
        dead = {**alive[0], "Alive": False, "Resources": {"CPU": 64, "GPU": 8}}
        monkeypatch.setattr(ray, "nodes", lambda: [*alive, dead])

    monkeypatch.setattr(Cluster, "start", lambda self: None)
    return say


def resources(stage_workers: int | None = None, **section: Any) -> Any:
    return Cluster(ClusterSection.model_validate(section), lambda url: None).resources_for(stage_workers)


@pytest.mark.parametrize(
    ("cluster", "section", "workers", "gpus"),
    [
        ({"CPU": 2}, {}, 2, 0),
        ({"CPU": 1}, {}, 1, 0),
        ({"CPU": 64}, {}, 2, 0),
        ({"CPU": 64}, {"cpus_per_worker": 40}, 1, 0),
        ({"CPU": 64, "GPU": 8}, {}, 8, 1),
        ({"CPU": 64, "GPU": 2}, {"gpus_per_worker": 0.5}, 4, 0.5),
        ({"CPU": 8, "GPU": 2}, {"workers": 3, "gpus_per_worker": 0}, 3, 0),
    ],
)
def test_workers_follow_from_spec_and_cluster(
    has: Any, cluster: dict[str, float], section: dict[str, Any], workers: int, gpus: float
) -> None:
    has(**cluster)
    found = resources(**section)
    assert (found.workers, found.gpus) == (workers, gpus)


def test_a_stage_has_the_last_word(has: Any) -> None:
    has(CPU=4)
    assert resources(3, workers=1).workers == 3


@pytest.mark.parametrize(
    ("cluster", "stage", "section", "message"),
    [
        ({"CPU": 2}, 3, {}, r"3 workers x 1 CPU, 0 GPU need more than the cluster's 2 CPU, 0 GPU; lower cluster.workers"),
        ({"CPU": 8}, 1, {"gpus_per_worker": 1}, r"a worker of 1 CPU, 1 GPU needs more than the cluster's 8 CPU, 0 GPU"),
        ({"CPU": 8}, None, {"gpus_per_worker": 1}, r"a worker of 1 CPU, 1 GPU needs more than the cluster's 8 CPU, 0 GPU"),
        ({"CPU": 8, "GPU": 1}, 2, {}, r"2 workers x 1 CPU, 1 GPU need more"),
    ],
)
def test_more_than_the_cluster_has_is_refused(
    has: Any, cluster: dict[str, float], stage: int, section: dict[str, Any], message: str
) -> None:
    has(**cluster)
    with pytest.raises(UserError, match=message):
        resources(stage, **section)


@pytest.mark.parametrize(
    ("nodes", "section", "message"),
    [
        (
            2,
            {"placement": "strict_spread", "workers": 3},
            r"strict_spread needs 3 nodes with 1 CPU, 0 GPU .* has 2",
        ),
        (
            2,
            {"placement": "strict_pack", "workers": 4},
            r"strict_pack needs one node .* for 4 .* has room for 3",
        ),
        (3, {"cpus_per_worker": 2, "workers": 4}, r"has to fit on one node, and the 3 nodes have room for 3 of 4"),
        (2, {"min_workers": 7, "max_workers": 9}, r"7 workers x 1 CPU, 0 GPU need more than the cluster's 6 CPU"),
    ],
)
def test_workers_have_to_fit_as_they_are_placed(has: Any, nodes: int, section: dict[str, Any], message: str) -> None:
    has(*[{"CPU": 3}] * nodes)
    with pytest.raises(UserError, match=message):
        resources(address="10.0.0.1:6379", **section)


def test_a_changing_number_of_workers_needs_room_for_the_fewest(has: Any) -> None:
    has({"CPU": 3}, {"CPU": 3})
    found = resources(min_workers=5, max_workers=9, placement="spread")
    assert (found.minimum, found.workers, found.placement) == (5, 9, "spread")
    assert list(found.counts) == [5, 6, 7, 8, 9]
    fixed = resources(2, min_workers=5, max_workers=9)
    assert list(fixed.counts) == [2]


@pytest.mark.parametrize(
    ("placement", "room", "workers", "groups"),
    [
        ("pack", (3, 3), 2, 3),
        ("spread", (3, 3), 4, 1),
        ("strict_pack", (3, 3), 2, 2),
        ("strict_spread", (3, 3), 2, 3),
        ("strict_spread", (8, 1, 1), 2, 2),
        ("strict_spread", (8, 1), 3, 0),
        ("pack", (1,), 2, 0),
    ],
)
def test_groups_that_fit_at_the_same_time(placement: str, room: tuple[int, ...], workers: int, groups: int) -> None:
    nodes = [Node(str(i), "", 2 * cpus + 1, 0) for i, cpus in enumerate(room)]
    assert groups_that_fit(WorkerResources(workers, 2, 0, placement=placement), nodes) == groups


def pretraining(objectives: str, batch: int, **fields: int) -> PretrainSection:
    corpus = {"dataset": "d", "objectives": objectives.split(), "steps": 1, "batch_size": batch}
    return PretrainSection.model_validate({"kind": "pretrain", "concatenate": 2, "corpora": [corpus], **fields})


def test_batches_are_split_evenly() -> None:
    check_batch("pre", pretraining("itc citm", 12), 4)
    with pytest.raises(UserError, match=r"stages.pre.corpora.0.batch_size: 13 cannot be split evenly over 2 workers; choose a"):
        check_batch("pre", pretraining("itc", 13), 2)
    with pytest.raises(UserError, match=r"8 is too small for matching on concatenated samples.* at least 12 with 4 workers"):
        check_batch("pre", pretraining("citm", 8), 4)
    check_batch("pre", pretraining("cap", 12, accumulate=3), 2)
    with pytest.raises(UserError, match=r"12 cannot be split evenly over 2 workers with accumulate: 4; choose a multiple of 8"):
        check_batch("pre", pretraining("cap", 12, accumulate=4), 2)
    section = FinetuneSection.model_validate(
        {"kind": "finetune", "task": "retrieval", "dataset": "d", "epochs": 1, "batch_size": 6}
    )
    with pytest.raises(UserError, match=r"stages.tune.batch_size: 6 cannot be split evenly over 4 workers"):
        check_batch("tune", section, 4)


def test_a_dead_address_is_known_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cluster.address: nothing answers at 127.0.0.1:9 .*ray start --head"):
        Cluster(ClusterSection(address="127.0.0.1:9"), lambda url: None).start()


class LostRay:
    """Stands for the watch of a Ray that has lost a process."""

    def reason(self) -> str:
        return "Ray's process raylet (1) has ended"

    def end(self) -> None:
        pass


@pytest.mark.parametrize(
    ("error", "code"), [(None, 0), (ValueError(), 1), (KeyboardInterrupt(), 130), (SpecError([]), 2)]
)  # fmt: skip
def test_a_lost_ray_does_not_change_the_exit_code(
    error: BaseException | None, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work that was done before Ray was lost is no failure, unless a later variant needs Ray again."""
    at_exit: list[int] = []
    monkeypatch.setattr(ray_cluster.atexit, "register", lambda _, code: at_exit.append(code))
    notes: list[str] = []
    cluster: Any = Cluster(ClusterSection(), lambda _: None, note=notes.append)
    cluster._started, cluster._watch = True, LostRay()
    if error is None:
        cluster.stop()
    else:
        with pytest.raises(type(error)):
            raise_and_stop(error, cluster)
    assert at_exit == [code]
    assert ["the work was done already" in note for note in notes] == ([True] if error is None else [])
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    with pytest.raises(UserError, match="this process cannot start it again"):
        Cluster(ClusterSection(), lambda _: None).start()
    assert at_exit == [code, 1]  # Python calls the latest first.


def raise_and_stop(error: BaseException, cluster: Cluster) -> None:
    try:
        raise error
    finally:
        cluster.stop()
