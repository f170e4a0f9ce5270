"""Records of a running training."""

import json
from pathlib import Path

from cosa.evaluation.metric import Metric
from workflows.execution.progress import Follower, ProgressWriter, Record, best_evaluation, mean_loss, read_records

R1 = Metric("r1")


def evaluations(*scores: float) -> list[Record]:
    return [Record("evaluation", 10 * (i + 1), 100, {"r1": score}, 0.0) for i, score in enumerate(scores)]


def test_the_latest_of_equal_evaluations_is_best_as_ray_keeps_it() -> None:
    best = best_evaluation(evaluations(20, 20, 10), R1, {20, 30})
    assert best is not None
    assert best.step == 20


def test_only_evaluations_with_a_checkpoint_count() -> None:
    best = best_evaluation(evaluations(10, 5, 30), R1, {10, 20})
    assert best is not None
    assert best.step == 10
    assert best_evaluation(evaluations(10), R1, set()) is None


def test_the_lowest_is_best_where_asked_and_the_last_without_a_metric() -> None:
    lowest = best_evaluation(evaluations(3, 1, 2), Metric("r1", lower_is_better=True), {10, 20, 30})
    last = best_evaluation(evaluations(3, 1, 2), None, {10, 20, 30})
    assert lowest is not None
    assert last is not None
    assert (lowest.step, last.step) == (20, 30)


def test_a_mean_loss_weighs_records_by_their_steps() -> None:
    records = [Record("train", step, 40, {"loss": loss}, 0.0) for step, loss in ((10, 9.0), (20, 4.0), (25, 1.0), (30, 8.0))]
    assert mean_loss(records, 10, 25) == (4.0 * 10 + 1.0 * 5) / 15
    assert mean_loss(records, 30, 40) is None
    skipped = Record("train", 12, 40, {"skipped_steps": 1.0}, 0.0)  # no loss of these two steps was finite
    assert mean_loss([*records, skipped], 10, 25) == (4.0 * 8 + 1.0 * 5) / 13


def test_records_that_the_disk_lost_come_from_the_checkpoint(tmp_path: Path) -> None:
    """After a loss of power the file may be empty, or hold zeros; the driver has read on by then."""
    writer, follower = ProgressWriter(tmp_path, 4), Follower(tmp_path)
    writer.write("train", 1, {"loss": 2.0})
    saved = writer.content()
    writer.write("train", 2, {"loss": 1.0})
    writer.restore(saved)
    assert [record.step for record in follower.new()] == [1, 2], "an intact file stays as it is"
    for damaged in (b"", saved[:20], b"\0" * len(saved)):
        writer.path.write_bytes(damaged)
        writer.restore(saved)
        assert writer.content() == saved
        ProgressWriter(tmp_path, 4).write("train", 2, {"loss": 1.0})
        assert [record.step for record in read_records(tmp_path)] == [1, 2]
        assert list(follower.new()) == [], "it has read them already"


def test_a_record_after_half_a_line_is_not_lost(tmp_path: Path) -> None:
    first = ProgressWriter(tmp_path, 4)
    first.write("train", 1, {"loss": 2.0})
    with first.path.open("a") as file:
        file.write('{"kind": "train", "st')
    second = ProgressWriter(tmp_path, 4)
    for step in (2, 3):
        second.write("train", step, {"loss": 1.0})
    assert [record.step for record in read_records(tmp_path)] == [1, 2, 3]


def test_repeated_and_torn_records_are_read_once(tmp_path: Path) -> None:
    writer = ProgressWriter(tmp_path, 4)
    writer.write("train", 1, {"loss": 2.0})
    with writer.path.open("a") as file:
        file.write('{"kind": "train", "st')  # a worker that was killed
    follower = Follower(tmp_path)
    assert [record.step for record in follower.new()] == [1]
    with writer.path.open("a") as file:
        file.write("\n")
    writer.write("train", 1, {"loss": 2.5})
    writer.write("train", 2, {"loss": 1.0})
    assert [(record.step, record.values["loss"]) for record in follower.new()] == [(2, 1.0)]
    assert [record.values["loss"] for record in read_records(tmp_path)] == [2.0, 1.0]
    assert json.loads(writer.path.read_text().splitlines()[-1])["total"] == 4


def test_warnings_are_records_too(tmp_path: Path) -> None:
    writer = ProgressWriter(tmp_path, 4)
    writer.warn("checkpoint 3 is damaged")
    writer.warn("checkpoint 2 is damaged")
    writer.warn("checkpoint 2 is damaged")  # of a restarted worker
    found = read_records(tmp_path)
    assert [(record.kind, record.text) for record in found] == [
        ("warning", "checkpoint 3 is damaged"), ("warning", "checkpoint 2 is damaged"),
    ]  # fmt: skip
    assert best_evaluation(found, R1, {0}) is None
