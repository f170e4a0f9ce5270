"""Which values are the best, and what they are compared with."""

from pathlib import Path

from tests.workflows.commands.measured import BETTER, SAMPLES, WORSE, measure
from tests.workflows.planning.planned import finish, lay_out, plan
from tests.workflows.reports.cells import cells_of, columns_of
from tests.workflows.results.stored import stored
from workflows.reports.compared_code import code_rows
from workflows.reports.compared_metrics import metric_rows, missing_scores, paired_rows


def three(root: Path, **metric: tuple[float | None, ...]) -> list[Path]:
    folders = []
    for at, stage in enumerate(("a", "b", "c")):
        own = {name: values[at] for name, values in metric.items() if values[at] is not None}
        folders.append(stored(root, f"demo/{stage}", stage, metrics=own))
    return folders


def best(root: Path, **metric: tuple[float | None, ...]) -> dict[str, set[int]]:
    return {row.name: set(row.best) for row in metric_rows(cells_of(columns_of(root, *three(root, **metric))))}


def test_the_best_value_by_the_direction_of_the_metric(tmp_path: Path) -> None:
    found = best(
        tmp_path,
        text_to_video_r1=(50.0, 60.0, 60.0),
        text_to_video_mean_rank=(2.0, 1.5, None),
        final_loss=(3.0, 2.0, float("nan")),
        itc_loss=(1.0, 2.0, 3.0),
        cider=(7.0, 7.0, 7.0),
        accuracy=(None, 5.0, None),
        samples_per_second=(1.0, 2.0, 3.0),
    )
    assert found == {
        "text_to_video_r1": {1, 2},
        "text_to_video_mean_rank": {1},
        "final_loss": {1},
        "itc_loss": {0},
        "cider": set(),
        "accuracy": set(),
        "samples_per_second": set(),
    }


def test_metrics_for_people_come_first(tmp_path: Path) -> None:
    folders = three(tmp_path, loss=(1.0,) * 3, text_to_video_mean_r=(1.0,) * 3, cider=(1.0,) * 3, text_to_video_r1=(1.0,) * 3)
    rows = metric_rows(cells_of(columns_of(tmp_path, *folders)))
    assert [row.name for row in rows] == ["text_to_video_r1", "cider", "text_to_video_mean_r", "loss"]
    assert [row.label for row in rows][:2] == ["text-to-video R@1", "CIDEr"]


def test_published_numbers_and_baselines(tmp_path: Path, monkeypatch: object) -> None:
    lay_out(tmp_path, monkeypatch)  # type: ignore[arg-type]
    published = "stages.test.published={text_to_video_r1: 57.9}"
    finish(plan(published))
    folder = plan(published).result_of("test")
    measure(folder, BETTER)
    (row,) = metric_rows(cells_of(columns_of(Path("storage"), folder)))
    assert (row.published, row.baseline, row.text(row.values[0])) == (57.9, 2.5, "75.0")


def test_further_columns_are_tested_against_the_first(tmp_path: Path) -> None:
    folders = three(tmp_path)
    for folder, values in zip(folders, (WORSE, BETTER, None), strict=True):
        measure(folder, values, metrics={} if values else {"text_to_video_r1": 1.0})
    columns = columns_of(tmp_path, *folders)
    (row,) = paired_rows(cells_of(columns))
    assert (row.column, row.is_better, round(row.found.difference, 6)) == (1, True, 50)
    (line,) = missing_scores(cells_of(columns), columns)
    assert line.startswith("no intervals and no test for C: an older version made the results")
    assert line.endswith("--force c makes them again")
    (back,) = paired_rows(cells_of([columns[1], columns[0]]))
    assert back.is_better is False


def test_other_samples_are_said(tmp_path: Path) -> None:
    folders = three(tmp_path)
    measure(folders[0], WORSE)
    measure(folders[1], BETTER[:10], samples=[*SAMPLES[:9], "another"])
    columns = columns_of(tmp_path, *folders[:2])
    assert missing_scores(cells_of(columns), columns) == ["A has 40 samples and B has 10; tests use the 9 that both have"]
    measure(folders[1], BETTER[:2], samples=["other", "another"])
    (line,) = missing_scores(cells_of(columns), columns_of(tmp_path, *folders[:2]))
    assert line == "A has 40 samples and B has 2; none is in both, so that there is no test"


def test_of_code_only_what_differs_and_always_the_commit(tmp_path: Path) -> None:
    git = {"commit": "6135bc40ebd6edc8b7264ff72b3a618bca490c10", "dirty": "no"}
    first = stored(tmp_path, "demo/a", "a", git=git, versions={"torch": "2.14.1", "av": "18"}, host="one", seconds=61.0)
    second = stored(tmp_path, "demo/b", "b", git={**git, "dirty": "yes"}, versions={"torch": "2.15.0", "av": "18"}, host="one")
    rows = {row.name: row.values for row in code_rows(cells_of(columns_of(tmp_path, first, second)))}
    assert list(rows) == ["commit", "torch", "started", "took", "size"]
    assert rows["commit"] == ("6135bc40eb", "6135bc40eb and changes")
    assert rows["torch"] == ("2.14.1", "2.15.0")
    assert rows["took"] == ("1 m 01 s", "0.0 s")


def test_what_may_be_chance_is_neither_better_nor_worse(tmp_path: Path) -> None:
    folders = three(tmp_path)
    measure(folders[0], WORSE)
    measure(folders[1], [*WORSE[:-1], 100.0])
    (row,) = paired_rows(cells_of(columns_of(tmp_path, *folders[:2])))
    assert row.found.difference > 0
    assert row.found.p > 0.05
    assert row.is_better is None
