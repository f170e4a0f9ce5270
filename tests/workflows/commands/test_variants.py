"""Full experiments that differ in some fields."""

import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

import cli
from cosa.errors import UserError
from tests.workflows.planning.planned import finish, lay_out, plan
from workflows.commands.variants import Variant, run_variants, variants_of
from workflows.execution.reruns import start_over
from workflows.planning.plan import Plan, make_plan
from workflows.results.locks import exclusive
from workflows.runner import RunOptions
from workflows.spec.experiment import Experiment
from workflows.terminal.reporter import Reporter


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return lay_out(tmp_path, monkeypatch)


def test_all_combinations() -> None:
    assert variants_of(["a.b=1,2", "c=x, [3, 4]"]) == [
        ("a.b=1", "c=x"), ("a.b=1", "c=[3, 4]"), ("a.b=2", "c=x"), ("a.b=2", "c=[3, 4]"),
    ]  # fmt: skip
    assert variants_of(["rate=1e-4"]) == [("rate=1e-4",)]
    assert variants_of(["flag=true,false"]) == [("flag=true",), ("flag=false",)]


def test_values_stay_as_they_are_written() -> None:
    assert variants_of(["a=2020-01-01,'1',on,010,[x, {y: 1}]"]) == [
        ("a=2020-01-01",), ("a='1'",), ("a=on",), ("a=010",), ("a=[x, {y: 1}]",),
    ]  # fmt: skip


def test_a_field_twice() -> None:
    with pytest.raises(UserError, match=r"--sweep a\.b: it is given 2 times; list all its values in one"):
        variants_of(["a.b=1,2", "a.b=3"])


def test_names_of_variants_tell_fields_apart(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflows.commands.variants._rows", lambda plans: [("test", "R@1", [1.0 for _ in plans])])
    console = Console(width=160, highlight=False)
    variants = [("stages.captions.length_penalty=0.1", "stages.test.length_penalty=0.2")]
    with console.capture() as capture:
        run_variants(variants, lambda variant: plan(), Reporter(console))
    assert "captions.length_penalty=0.1, test.length_penalty=0.2" in capture.get()


@pytest.mark.parametrize("wrong", ["a=1],[2", "a.b", "a.b=", "=1,2", "a=[1"])
def test_wrong_forms(wrong: str) -> None:
    with pytest.raises(UserError, match=r"--sweep .*: expected NAME=VALUE,VALUE"):
        variants_of([wrong])


def test_a_value_twice() -> None:
    with pytest.raises(UserError, match="a value is listed twice"):
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


def test_forced_stages_that_variants_share_run_once(here: Path) -> None:
    """And what builds on them is forced in every variant."""
    first, second = "stages.retrieval.epochs=2", "stages.retrieval.epochs=3"
    for variant in (first, second):
        finish(plan(variant))
    made = plan(first, force=("pretrain",))
    made_anew = {made.result_of(step.name) for step in made.steps if step.name == "pretrain"}
    again = {step.name: step for step in plan(second, force=("pretrain",), forced_before=made_anew).steps}
    assert (again["pretrain"].action, again["retrieval"].action) == ("skip", "run")
    assert again["retrieval"].reason == "its input pretrain is forced"


def test_nothing_is_forced_if_somebody_holds_a_part_of_it(here: Path) -> None:
    finish(plan())
    made = plan(force=("retrieval",))
    results = {step.name: made.result_of(step.name) for step in made.steps if step.forced}
    assert list(results) == ["retrieval", "test"]
    with (
        exclusive(made.storage.lock_file(results["test"].name), "test"),
        pytest.raises(UserError, match="--force: the result of test is in use by process"),
    ):
        start_over(made, set(), Reporter(Console(quiet=True)))
    unfinished = {name: made.storage.partial(name, folder.name) for name, folder in results.items()}
    assert not any(folder.is_dir() for folder in unfinished.values())
    start_over(made, {results["retrieval"]}, Reporter(Console(quiet=True)))
    assert [name for name, folder in unfinished.items() if folder.is_dir()] == ["test"]
    assert all(folder.is_dir() for folder in results.values())


def test_all_variants_are_read_before_the_first_runs(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the resume command is that of all of them."""
    seeds: list[int] = []
    commands: list[str] = []

    def run(experiment: Experiment, reporter: Reporter, options: RunOptions) -> Plan:
        seeds.append(experiment.section.seed)
        commands.append(str(options.resume_command))
        Path("spec.yaml").write_text("edited: meanwhile")
        return make_plan(experiment)

    monkeypatch.setattr("workflows.runner.run_experiment", run)
    done = CliRunner().invoke(cli.app, ["run-experiment", "spec.yaml", "--set", "seed=7", "--sweep", "seed=1,2"])
    assert done.exit_code == 0, done.output
    assert seeds == [1, 2]
    assert commands[0].endswith("run-experiment spec.yaml --set seed=7 --sweep seed=1,2")
    assert commands[1] == commands[0]


@pytest.mark.parametrize("is_explained", [False, True])
def test_an_interruption_before_any_stage_says_how_to_resume(
    is_explained: bool, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(experiment: Experiment, reporter: Reporter, options: RunOptions) -> Plan:
        if is_explained:
            options.explained.add("retrieval")
        raise KeyboardInterrupt

    monkeypatch.setattr("workflows.runner.run_experiment", run)
    done = CliRunner().invoke(cli.app, ["run-experiment", "spec.yaml", "--until", "retrieval"])
    assert done.exit_code != 0
    assert ("run-experiment spec.yaml --until retrieval" in done.output) is not is_explained


def test_a_plan_of_variants_says_what_they_share(here: Path) -> None:
    done = CliRunner().invoke(cli.app, ["plan", "spec.yaml", "--sweep", "stages.captions.length_penalty=0.1,0.5", "--json"])
    assert done.exit_code == 0, done.output
    first, second = json.loads(done.output)
    assert [first["variant"], second["variant"]] == [[f"stages.captions.length_penalty={value}"] for value in ("0.1", "0.5")]
    assert {stage["action"] for stage in first["stages"]} == {"run"}
    ran = {stage["name"]: (stage["action"], stage["reason"]) for stage in second["stages"]}
    assert ran.pop("captions") == ("run", "new")
    assert set(ran.values()) == {("skip", "done with length_penalty=0.1")}
    shown = CliRunner().invoke(cli.app, ["plan", "spec.yaml", "--sweep", "seed=1,2", "--check"])
    assert shown.exit_code == 1
    assert [line for line in shown.output.splitlines() if "variant" in line] == [
        "variant 1 of 2: seed=1", "variant 2 of 2: seed=2",
    ]  # fmt: skip


def test_addresses_come_after_the_table_of_variants(here: Path) -> None:
    console, addresses = Console(width=160, highlight=False), ["nothing yet"]

    def run(variant: Variant) -> Plan:
        addresses[:] = [f"Results of {variant[0]}"]
        made = plan(*variant)
        finish(made)
        return made

    with console.capture() as capture:
        run_variants(variants_of(["seed=1,2"]), run, Reporter(console), addresses)
    assert capture.get().splitlines()[-1] == "Results of seed=2"


def test_an_interruption_says_where_results_are_and_without_metrics_there_is_no_table(here: Path) -> None:
    console = Console(width=160, highlight=False)

    def run(variant: Variant) -> Plan:
        if variant == ("seed=2",):
            raise KeyboardInterrupt
        return plan(*variant)

    with console.capture() as capture, pytest.raises(KeyboardInterrupt):
        run_variants(variants_of(["seed=1,2"]), run, Reporter(console), ["Results of seed=1"])
    assert capture.get().splitlines()[-1] == "Results of seed=1"
    with console.capture() as capture:
        run_variants(variants_of(["seed=3"]), run, Reporter(console))
    assert "metric" not in capture.get()
