"""The table on an invocation's page in MLflow."""

from workflows.records.run_table import StageRow, main_metric, markdown


def test_every_stage_with_its_run() -> None:
    rows = [
        StageRow("corpus", "prepare", "reused", known_run="old-run-with-a-long-id"),
        StageRow("pretrain", "pretrain", "run", "final_loss 2.50", local_run="local"),
        StageRow("elsewhere", "pretrain", "reused", known_run="gone"),
        StageRow("unsent", "evaluate", "failed", local_run="never made"),
    ]
    text = markdown([row.plain() for row in rows], {"local": "new"}, {"old-run-with-a-long-id": "1", "new": "2"}.get)
    assert text.splitlines()[2:] == [
        "| corpus | prepare | reused |  | [old-run-](#/experiments/1/runs/old-run-with-a-long-id) |",
        "| pretrain | pretrain | run | final_loss 2.50 | [new](#/experiments/2/runs/new) |",
        "| elsewhere | pretrain | reused |  | gone (not on this server) |",
        "| unsent | evaluate | failed |  |  |",
    ]


def test_the_metric_that_says_most() -> None:
    assert main_metric({"text_to_video_r5": 80.0, "text_to_video_r1": 57.04, "final_loss": 1.0}) == "text_to_video_r1 57.0"
    assert main_metric({"final_loss": 19.6512, "samples_per_second": 111.0}) == "final_loss 19.7"
    assert main_metric({"retrieval/text_to_video_r1": 1.0, "accuracy": 2.0}) == "retrieval/text_to_video_r1 1.0, accuracy 2.0"
    assert main_metric({}) == ""
