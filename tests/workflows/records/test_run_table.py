"""The table on an invocation's page in MLflow."""

import pytest

from workflows.records.markdown_table import LONGEST_NOTE
from workflows.records.run_table import StageRow, markdown
from workflows.records.ui_pages import CLASSIC, run_path


def test_every_stage_with_its_run() -> None:
    rows = [
        StageRow("corpus", "prepare", "reused", known_run="old-run-with-a-long-id"),
        StageRow("pretrain", "pretrain", "run", "final_loss 2.50", local_run="local"),
        StageRow("elsewhere", "pretrain", "reused", known_run="gone"),
        StageRow("unsent", "evaluate", "failed", local_run="never made"),
    ]
    text = markdown([row.plain() for row in rows], (), {"local": "new"}, {"old-run-with-a-long-id": "1", "new": "2"}.get)
    assert text.splitlines()[2:] == [
        f"| corpus | prepare | reused |  | [old-run-](#/experiments/1/runs/old-run-with-a-long-id?{CLASSIC}) |",
        f"| pretrain | pretrain | run | final_loss 2.50 | [new](#/experiments/2/runs/new?{CLASSIC}) |",
        "| elsewhere | pretrain | reused |  | gone (not on this server) |",
        "| unsent | evaluate | failed |  |  |",
    ]


@pytest.mark.parametrize("length", [1, 20, 300])
def test_table_is_cut_between_rows(length: int) -> None:
    rows = [StageRow(f"stage-{i}", "pretrain", "run", "x" * length, known_run=f"run{i}") for i in range(1000)]
    text = markdown([row.plain() for row in rows], (), {}, lambda _: "1")
    assert LONGEST_NOTE - length - 200 < len(text) <= LONGEST_NOTE
    *_, last_row, blank, left_out, end = text.split("\n")
    shown = text.count("| stage-")
    assert (
        last_row
        == f"| stage-{shown - 1} | pretrain | run | {'x' * length} | [run{shown - 1}]({run_path('1', f'run{shown - 1}')}) |"
    )
    assert (blank, end) == ("", "")
    assert left_out.startswith(f"{1000 - shown} more stages are left out")


def test_signs_of_the_table_in_a_result() -> None:
    row = StageRow("a", "mine", "run", "loss|x 1\n2").plain()
    assert markdown([row], (), {}, lambda _: None).splitlines()[2] == "| a | mine | run | loss\\|x 1 2 |  |"


RESULT = {
    "stage": "test",
    "metric": "text_to_video_r1",
    "value": 57.04,
    "baseline": None,
    "baseline_name": None,
    "published": None,
}


def test_results_come_first() -> None:
    second = {**RESULT, "metric": "cider", "value": 121.46, "baseline": 3.0, "baseline_name": "one caption", "published": 74.7}
    text = markdown([StageRow("test", "evaluate", "run").plain()], [RESULT, second], {}, lambda _: None)
    assert text.splitlines() == [
        "| results of | metric | value | baseline | published |",
        "|---|---|---|---|---|",
        "| test | text-to-video R@1 | 57.0 |  |  |",
        "| test | CIDEr | 121.5 | 3.0 one caption | 74.7 |",
        "",
        "| stage | kind | state | result | MLflow run |",
        "|---|---|---|---|---|",
        "| test | evaluate | run |  |  |",
    ]


def test_how_much_was_evaluated_stands_once() -> None:
    measured = {"measured": "clips/test: 10 clips, 20 queries"}
    rows = [
        {**RESULT, **measured},
        {**RESULT, "metric": "text_to_video_r5", **measured},
        {**RESULT, "stage": "other", **measured},
    ]
    lines = markdown([], rows, {}, lambda _: None).splitlines()
    assert [line for line in lines if "10 clips" in line] == ["test, other on clips/test: 10 clips, 20 queries"]


def test_more_results_than_a_description_can_hold_leave_room_for_the_stages() -> None:
    lines = markdown([StageRow("test", "evaluate", "run").plain()], [RESULT] * 200, {}, lambda _: None).splitlines()
    shown = lines.count(lines[2])
    assert shown > 50
    assert f"{200 - shown} more results are left out; the metrics of this run have them." in lines
    assert lines[-1] == "| test | evaluate | run |  |  |"


def test_signs_of_the_table_in_the_name_of_a_baseline() -> None:
    text = markdown([], [{**RESULT, "baseline": 1.0, "baseline_name": "a|b"}], {}, lambda _: None)
    assert "| 1.0 a\\|b |" in text
