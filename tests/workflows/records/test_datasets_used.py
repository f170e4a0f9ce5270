"""Splits that a stage reads, as MLflow's table of runs shows them."""

from pathlib import Path

from workflows.planning.plan import Plan, make_plan
from workflows.records.datasets_used import datasets_of
from workflows.spec.load import load_spec

QUICKSTART = Path(__file__).parents[3] / "experiments" / "quickstart.yaml"


def plan_in(storage: Path, *overrides: str) -> Plan:
    return make_plan(load_spec(QUICKSTART, [f"storage={storage}", *overrides]))


def used(plan: Plan, stage: str) -> dict[str, tuple[str, str]]:
    """Context and digest by name."""
    step = next(step for step in plan.steps if step.name == stage)
    return {data["name"]: (data["context"], data["digest"]) for data in datasets_of(plan, step)}


def test_what_splits_are_used_for(tmp_path: Path) -> None:
    plan = plan_in(tmp_path)
    assert {name: context for name, (context, _) in used(plan, "retrieval").items()} == {
        "clips/train": "training",
        "clips/validation": "validation",
    }
    assert {name: context for name, (context, _) in used(plan, "test-retrieval").items()} == {"clips/test": "evaluation"}
    assert used(plan, "frames") == used(plan, "corpus") == {}


def test_digests_follow_what_makes_the_data(tmp_path: Path) -> None:
    plan, other = plan_in(tmp_path), plan_in(tmp_path, "stages.corpus.options.seed=7")
    digests = {stage: used(plan, stage)["clips/train"][1] for stage in ("retrieval", "captioning")}
    assert digests["retrieval"] == digests["captioning"]
    assert used(other, "retrieval")["clips/train"][1] != digests["retrieval"]
    assert used(plan, "retrieval")["clips/validation"][1] != digests["retrieval"]
