"""Declares the commands that plan and run experiments."""

from __future__ import annotations

import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workflows.command_line.arguments import (
    First,
    Force,
    Only,
    OtherStorage,
    Overrides,
    ProfileName,
    Spec,
    Sweep,
    Until,
    with_storage,
)
from workflows.command_line.interrupts import clean_up_after_interrupt

if TYPE_CHECKING:
    from workflows.planning.plan import Plan

app = typer.Typer()


@app.command("run-experiment")
def run_experiment(
    spec: Spec,
    overrides: Overrides = None,
    force: Force = None,
    first: First = None,
    until: Until = None,
    only: Only = None,
    sweep: Sweep = None,
    storage: OtherStorage = None,
    profile: ProfileName = None,
    wait: Annotated[bool, typer.Option(help="Wait for results that another run is working on, or fail at once.")] = True,
) -> None:
    """Run the stages that have no result yet. They extract, pretrain, finetune and evaluate."""
    from dataclasses import replace

    from workflows.cluster.preemption import Preempted
    from workflows.commands.variants import run_variants, variants_of
    from workflows.execution.resuming import resume_command
    from workflows.planning.selection import Selection
    from workflows.runner import RunOptions
    from workflows.runner import run_experiment as run
    from workflows.spec.load import load_spec
    from workflows.terminal.reporter import Reporter

    changes = with_storage(overrides, storage, profile)
    selection = Selection.of(first, until, only)
    reporter = Reporter()

    options = RunOptions(
        tuple(force or ()),
        selection,
        resume_command(spec, changes, selection, sweep or ()),
        sweep=uuid.uuid4().hex if sweep else "",
        wait=wait,
    )
    variants = variants_of(sweep or ())
    # All variants are read at the start, so that editing the file meanwhile changes nothing that runs.
    experiments = {variant: load_spec(spec, changes, swept=variant) for variant in variants}

    def run_one(variant: tuple[str, ...]) -> Plan:
        return run(experiments[variant], reporter, replace(options, overrides=tuple(changes), variant=variant))

    clean_up_after_interrupt()
    try:
        if sweep:
            run_variants(variants, run_one, reporter, options.addresses)
        else:
            run_one(())
    except Preempted as ending:  # It is caught here, because click would treat it like Ctrl-C.
        print("asked to end (SIGTERM)", file=sys.stderr)
        raise typer.Exit(ending.exit_code) from None
    except KeyboardInterrupt:
        if not options.explained:  # It came before a stage, or between two.
            print(f"finished stages are saved; resume with:\n    {options.resume_command}", file=sys.stderr)
        raise


@app.command()
def submit(
    spec: Spec,
    overrides: Overrides = None,
    force: Force = None,
    first: First = None,
    until: Until = None,
    only: Only = None,
    storage: OtherStorage = None,
    profile: ProfileName = None,
    address: Annotated[str, typer.Option(help="The cluster's dashboard.")] = "http://127.0.0.1:8265",
    python: Annotated[str, typer.Option(help="Python with this program's packages, on the cluster's head.")] = "python",
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not follow the job.")] = False,
) -> None:
    """Submit a run to a Ray cluster. The log of its job is followed; Ctrl-C stops following, not the job."""
    from workflows.cluster.submission import Submission, follow, how_to_follow
    from workflows.cluster.submission import submit as submit_job
    from workflows.planning.selection import Selection

    clean_up_after_interrupt()
    selection = Selection.of(first, until, only)
    chosen = Submission(spec, tuple(with_storage(overrides, storage, profile)), tuple(force or ()), selection, address, python)
    job = submit_job(chosen, print)
    if no_wait:
        print(how_to_follow(job, address))
        return
    try:
        succeeded = follow(job, address, lambda text: print(text, end="", flush=True))
    except KeyboardInterrupt:
        print(f"\n{how_to_follow(job, address)}")
        raise
    print(f"{job} {'succeeded' if succeeded else 'failed; finished work is saved: submit again to resume'}")
    if not succeeded:
        raise typer.Exit(1)


@app.command()
def plan(
    spec: Spec,
    overrides: Overrides = None,
    force: Force = None,
    first: First = None,
    until: Until = None,
    only: Only = None,
    sweep: Sweep = None,
    storage: OtherStorage = None,
    profile: ProfileName = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything that is known, for programs.")] = False,
    as_mermaid: Annotated[bool, typer.Option("--mermaid", help="Print a diagram that GitHub and editors draw.")] = False,
    check: Annotated[bool, typer.Option("--check", help="End with 1 if anything would run.")] = False,
) -> None:
    """Show which stages would run, which are done, and why. Runs nothing. Ends with 1 if something is missing."""
    from workflows.commands.plan import PlanForm, show_plans
    from workflows.planning.selection import Selection

    form: PlanForm = "json" if as_json else "mermaid" if as_mermaid else "table"
    plans = show_plans(
        spec,
        with_storage(overrides, storage, profile),
        sweep or (),
        force=force or (),
        selection=Selection.of(first, until, only),
        form=form,
    )
    if any(made.missing or (check and made.to_run) for made in plans):
        raise typer.Exit(1)


@app.command()
def validate(
    specs: Annotated[list[Path], typer.Argument(metavar="SPEC...", help="YAML specs.")], overrides: Overrides = None
) -> None:
    """Check the fields and names in specs. Touches no data."""
    from workflows.commands.validate import validate as validate_specs

    validate_specs(specs, overrides or [])
