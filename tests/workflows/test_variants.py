"""Whole experiments that differ in some fields."""

from pathlib import Path

import pytest
from rich.console import Console

from cosa.errors import UserError
from tests.workflows.planned import finish, lay_out, plan
from workflows.console import Reporter
from workflows.plan import Plan
from workflows.variants import Variant, run_variants, variants_of


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return lay_out(tmp_path, monkeypatch)


def test_all_combinations() -> None:
    assert variants_of(["a.b=1,2", "c=x, [3, 4]"]) == [
        ("a.b=1", "c=x"), ("a.b=1", "c=[3, 4]"), ("a.b=2", "c=x"), ("a.b=2", "c=[3, 4]"),
    ]  # fmt: skip
    assert variants_of(["rate=1e-4"]) == [("rate=1e-4",)]
    assert variants_of(["flag=true,false"]) == [("flag=true",), ("flag=false",)]


@pytest.mark.parametrize("wrong", ["a.b", "a.b=", "=1,2", "a=[1"])
def test_wrong_forms(wrong: str) -> None:
    with pytest.raises(UserError, match=r"--sweep .*: expected NAME=VALUE,VALUE"):
        variants_of([wrong])


def test_a_value_twice() -> None:
    with pytest.raises(UserError, match="a value is there twice"):
        variants_of(["a=1,2,1"])


def test_shared_stages_are_done_once_and_a_failure_does_not_stop_the_others(here: Path) -> None:
    ran: list[list[str]] = []

    def run(variant: Variant) -> Plan:
        if "length_penalty=0.5" in variant[0]:
            raise UserError("stage test: broken\n  log: somewhere")
        made = plan(*variant)
        ran.append([step.name for step in made.to_run])
        finish(made)
        return plan(*variant)

    console = Console(width=160, highlight=False)
    with (
        console.capture() as capture,
        pytest.raises(UserError, match=r"1 of 3 variants failed: length_penalty=0.5: stage test: broken"),
    ):
        run_variants(variants_of(["stages.captions.length_penalty=0.1,0.5,0.7"]), run, Reporter(console))
    assert "pretrain" in ran[0]
    assert ran[1] == ["captions"]
    assert "variant 3 of 3: stages.captions.length_penalty=0.7" in capture.get()


def test_metrics_side_by_side() -> None:
    console = Console(width=100, highlight=False)
    with console.capture() as capture:
        Reporter(console).comparison(["a=1", "a=2"], [("test", "CIDEr", [10.0, None]), ("test", "BLEU-4", [1.25, 3.0])])
    lines = [line.split() for line in capture.get().splitlines() if line.strip()]
    assert lines == [["stage", "metric", "a=1", "a=2"], ["test", "CIDEr", "10.0"], ["BLEU-4", "1.2", "3.0"]]
