"""The table of objectives: what it declares is what the losses do, and what follows from several of them."""

import subprocess
import sys
from dataclasses import replace
from pkgutil import resolve_name

import pytest

from cosa.data.batch_needs import BatchNeeds
from cosa.errors import UserError
from cosa.objectives.all_objectives import OBJECTIVES, PRETRAINING, batch_needs, heads_of, parts_reached, settings_of
from cosa.objectives.matching import SHARE_OF_CONCATENATED
from cosa.objectives.objective import Head, Objective
from cosa.objectives.objective_settings import ContrastiveSettings, MatchingSettings, ObjectiveSettings
from cosa.section import Section


def test_concatenated_samples_have_an_objective_of_each_kind() -> None:
    concatenated = {name for name, objective in OBJECTIVES.items() if objective.concatenated}
    assert {name.removeprefix("c") for name in concatenated} == set(PRETRAINING) - concatenated


@pytest.mark.parametrize("name", OBJECTIVES)
def test_functions_are_where_the_table_says(name: str) -> None:
    objective = OBJECTIVES[name]
    assert callable(resolve_name(objective.loss))
    assert objective.prepare is None or callable(resolve_name(objective.prepare))


def test_the_table_is_read_without_torch() -> None:
    code = "import sys, cosa.objectives.all_objectives; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_a_corpus_of_pretraining_may_list(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(PRETRAINING) == ["itc", "itm", "mlm", "cap", "citc", "citm", "cmlm", "ccap"]
    assert "qa" not in PRETRAINING
    assert len(PRETRAINING) == 8
    monkeypatch.setitem(OBJECTIVES, "mine", OBJECTIVES["itc"])
    assert "mine" in PRETRAINING


@pytest.mark.parametrize(
    ("names", "needs"),
    [
        (("itc", "mlm", "cap"), BatchNeeds()),
        (("itm",), BatchNeeds(all_captions=True)),
        (("itm", "ccap"), BatchNeeds(all_captions=True, concatenated=True)),
        (("citm",), BatchNeeds(concatenated=True, all_concatenated=True)),
        (("scst",), BatchNeeds()),
        (("qa",), BatchNeeds(questions=True)),
    ],
)
def test_what_batches_hold(names: tuple[str, ...], needs: BatchNeeds) -> None:
    assert batch_needs(names) == needs


def test_questions_and_captions_are_of_different_corpora() -> None:
    with pytest.raises(UserError, match="qa needs questions and itc, cap needs captions; a corpus brings one of them"):
        batch_needs(("itc", "qa", "cap"))
    with pytest.raises(UserError, match="no objective 'i'; expected a list of some of: itc"):
        batch_needs("itc")


@pytest.mark.parametrize(
    ("name", "samples", "workers", "problem"),
    [
        ("itm", 2, 2, None),
        ("itm", 1, 1, "1 is too small for image/video-text matching, which needs another sample as a negative; at least 2"),
        ("citm", 6, 2, None),
        ("citm", 5, 1, None),
        (
            "citm", 4, 2,
            "4 is too small for matching on concatenated samples, which uses a third of every worker's samples; "
            "at least 6 with 2 workers",
        ),
        (
            "citm", 2, 1,
            "2 is too small for matching on concatenated samples, which uses a third of every worker's samples; "
            "at least 3 with 1 worker",
        ),
        ("mlm", 1, 1, None),
    ],
)  # fmt: skip
def test_batches_that_are_too_small(name: str, samples: int, workers: int, problem: str | None) -> None:
    assert OBJECTIVES[name].batch_problem(samples, workers) == problem


def test_a_third_of_the_concatenated_samples_is_one_at_least() -> None:
    fewest = OBJECTIVES["citm"].fewest
    assert fewest is not None
    assert fewest.samples == SHARE_OF_CONCATENATED


def test_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = Objective(
        title="mine", loss="", reaches=OBJECTIVES["itc"].reaches, head=Head("torch.nn:Identity", may_be_frozen=True)
    )
    monkeypatch.setitem(OBJECTIVES, "mine", mine)
    assert heads_of(["itc", "mine", "mine"]) == ("mine",)
    assert parts_reached(["mine"]) - parts_reached(["itc"]) == {mine.head_part("mine")}
    with pytest.raises(ValueError, match="image/video-text contrastive brings no head"):
        OBJECTIVES["itc"].build_head(None)  # type: ignore[arg-type]


def test_settings_belong_to_objectives(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody asks for is no setting, and a name means one thing."""
    fields = {field for objective in OBJECTIVES.values() for field in objective.settings.model_fields}
    assert set(ObjectiveSettings.model_fields) <= fields
    assert settings_of(["itm", "citm", "itc"]) == (MatchingSettings, ContrastiveSettings)

    class Other(Section):
        label_smoothing: float = 0.2

    class Derived(ContrastiveSettings):
        margin: float = 0.2

    mine = Objective(title="mine", loss="", reaches=OBJECTIVES["itc"].reaches)
    with pytest.raises(UserError, match="'mine': its setting 'label_smoothing' has another default or type than that of obj"):
        monkeypatch.setitem(OBJECTIVES, "mine", replace(mine, settings=Other))
    monkeypatch.setitem(OBJECTIVES, "mine", replace(mine, settings=Derived))


def test_declarations_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="mine masks by 'nothing', which is no field of its settings"):
        Objective(title="mine", loss="", reaches=(), masks="nothing")
    with pytest.raises(ValueError, match="mine is divisible, so it has to say by `masks`"):
        Objective(title="mine", loss="", reaches=(), divisible=True)
    with pytest.raises(ValueError, match="image/video-text contrastive masks no tokens"):
        OBJECTIVES["itc"].masked_share(ObjectiveSettings())
    with pytest.raises(TypeError, match="reaches"):
        Objective(title="mine", loss="")  # type: ignore[call-arg]
