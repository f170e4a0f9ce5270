"""The table on an invocation's page in MLflow."""

from workflows.records.run_table import StageRow, markdown


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
