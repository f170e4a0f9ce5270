"""Fields that differ, those that decide a result first."""

from pathlib import Path

import pytest

from tests.workflows.planning.planned import finish, lay_out, plan
from tests.workflows.reports.cells import cells_of, columns_of
from workflows.reports.compared import Cell
from workflows.reports.compared_fields import field_rows


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    lay_out(tmp_path, monkeypatch)
    return Path("storage")


def test_what_decides_comes_first_and_names_and_speed_are_said_to_have_no_effect(here: Path) -> None:
    finish(plan())
    other = ("stages.retrieval.epochs=3", "stages.retrieval.workers=1", "stages.retrieval.sweep.learning_rate=[0.1]", "seed=7")
    finish(plan(*other))
    rows = field_rows(cells_of(columns_of(here, plan().result_of("retrieval"), plan(*other).result_of("retrieval"))))
    found = {row.name: (row.values, row.decides) for row in rows}
    assert found == {
        "epochs": (("2.0", "3.0"), True),
        "sweep.learning_rate": (("[0.0001, 0.001]", "[0.1]"), True),
        "seed": (("50", "7"), True),
        "workers": (("null", "1"), False),
    }
    assert [row.decides for row in rows] == sorted((row.decides for row in rows), reverse=True)


def test_of_lists_of_sections_single_fields_and_of_models_too(here: Path) -> None:
    finish(plan())
    other = ("stages.pretrain.corpora.1.steps=4", "model.contrastive_dim=32", "stages.pretrain.corpora.1.dataset=own")
    other = (*other, "stages.pretrain.corpora.1.split=val")
    finish(plan(*other))
    rows = field_rows(cells_of(columns_of(here, plan().result_of("pretrain"), plan(*other).result_of("pretrain"))))
    assert {row.name: (row.values, row.decides) for row in rows} == {
        "corpora.1.steps": (("3", "4"), True),
        "model.contrastive_dim": (("64", "32"), True),
        "corpora.1.dataset": (("made", "own"), False),
        "corpora.1.split": (("train", "val"), False),
    }


def test_a_stage_without_a_result_is_known_by_its_spec(here: Path) -> None:
    finish(plan())
    (column,) = columns_of(here, plan().result_of("retrieval"))
    made = plan("stages.retrieval.epochs=5", "stages.retrieval.workers=1")
    step = next(step for step in made.steps if step.name == "retrieval")
    rows = field_rows([*cells_of([column]), Cell("retrieval", None, step, "spec changed"), None])
    assert [(row.name, row.values, row.decides) for row in rows] == [
        ("epochs", ("2.0", "5.0", None), True), ("workers", ("null", "1", None), False),
    ]  # fmt: skip
    assert rows[0].shown == ["2.0", "5.0", "–"]
