"""What the page of a stage's run opens with."""

from dataclasses import replace
from pathlib import Path

from tests.workflows.records.test_overview import STEPS, manifest
from tests.workflows.records.test_recording import Sweep
from tests.workflows.records.test_tracking import client_of, store, tracker  # noqa: F401 -- a fixture
from workflows.records.markdown_table import LONGEST_NOTE, NOTE_TAG
from workflows.records.mlflow_store import TrackingStore
from workflows.records.stage_note import stage_note
from workflows.records.ui_pages import CLASSIC, VIEW_TAG

CORPUS, RETRIEVAL, TEST = STEPS
TRIALS = [
    {"trial": "lr-0.3", "learning_rate": 0.3, "state": "finished", "step": 4, "steps": 8, "text_to_video_r1": 25.0},
    {"trial": "lr-0.1", "learning_rate": 0.1, "state": "failed"},
]
BASELINES = {"baselines": {"text_to_video_r1": 10.0}, "baseline_names": {"text_to_video_r1": "chance"}}
SWEPT = replace(
    manifest(RETRIEVAL, text_to_video_r1=25.0, final_loss=1.0),
    details={"trials": TRIALS, "selected_by": "text_to_video_r1"},
    **BASELINES,
)


def test_an_evaluation_shows_all_figures_beside_their_baselines() -> None:
    made = replace(manifest(TEST, text_to_video_r1=25.0, text_to_video_r5=90.0, text_to_video_median_rank=3.0), **BASELINES)
    lines = stage_note(TEST, made).splitlines()
    assert lines[:4] == [
        "| on d/test | value | baseline |",
        "|---|---|---|",
        "| text-to-video R@1 | 25.0 | 10.0 chance |",
        "| text-to-video R@5 | 90.0 |  |",
    ]


def test_a_sweep_shows_its_trials() -> None:
    assert stage_note(RETRIEVAL, SWEPT).splitlines() == [
        "The best trial is **lr-0.3**.",
        "",
        "| on d/val | value | baseline |",
        "|---|---|---|",
        "| text-to-video R@1 | 25.0 | 10.0 chance |",
        "",
        "| trial | learning_rate | text-to-video R@1 | at step | state |",
        "|---|---|---|---|---|",
        "| lr-0.3 | 0.3 | 25.0 | 4 of 8 | finished |",
        "| lr-0.1 | 0.1 |  |  | failed |",
    ]
    many = stage_note(RETRIEVAL, replace(SWEPT, details={**SWEPT.details, "trials": TRIALS * 500}))
    assert len(many) < LONGEST_NOTE
    assert many.rstrip().endswith("more trials are left out; trials.csv among the artifacts has them.")


def test_a_training_has_no_column_of_baselines() -> None:
    assert stage_note(RETRIEVAL, manifest(RETRIEVAL, text_to_video_r1=25.0)).splitlines()[0] == "| on d/val | value |"


def test_a_stage_without_a_model_has_none() -> None:
    assert stage_note(CORPUS, manifest(CORPUS, clips=3)) == ""


def test_the_page_leads_to_the_charts_of_its_own_trials(tmp_path: Path, store: TrackingStore) -> None:  # noqa: F811
    sweep, one = Sweep(tmp_path), tracker(store, tmp_path)
    sweep.manifest = replace(sweep.manifest, details={**sweep.manifest.details, **SWEPT.details})
    sweep.run(one)
    one.close()
    client = client_of(store)
    experiment = client.get_experiment_by_name(store.experiment)
    (run,) = client.search_runs([experiment.experiment_id], "attributes.run_name = 'retrieval'")
    key = f"cosa-compare-retrieval-{run.info.run_id[:8]}"
    address = f"#/experiments/{experiment.experiment_id}/runs?viewStateShareKey={key}&compareRunsMode=CHART&{CLASSIC}"
    assert run.data.tags[NOTE_TAG].splitlines()[0] == f"[Trials of retrieval in charts]({address})"
    assert f"mlflow.parentRunId` = '{run.info.run_id}'" in experiment.tags[f"{VIEW_TAG}{key}"]
