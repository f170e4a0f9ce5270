"""Defines the command line: reads arguments, calls workflows, prints. It contains no logic."""

from __future__ import annotations

import signal

if __name__ == "__main__":  # Ctrl-C while modules are imported would end in a traceback, or in another error of a library.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import json
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from workflows.planning.plan import Plan

INTERRUPTED = 130  # the exit code after Ctrl-C

app = typer.Typer(
    name="cosa",
    no_args_is_help=True,
    rich_markup_mode=None,  # Importing rich for the help would cost a third of the time.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Spec = Annotated[Path, typer.Argument(metavar="SPEC", help="A YAML spec, such as experiments/quickstart.yaml.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Override a field, such as stages.retrieval.epochs=2."),
]
Force = Annotated[
    list[str] | None,
    typer.Option("--force", metavar="STAGE", help="Run a stage even if it is done, and all stages that build on it."),
]
First = Annotated[
    list[str] | None,
    typer.Option("--from", metavar="STAGE", help="Only this stage and those that build on it."),
]
Until = Annotated[list[str] | None, typer.Option("--until", metavar="STAGE", help="Only this stage and those it needs.")]
Sweep = Annotated[
    list[str] | None,
    typer.Option("--sweep", metavar="NAME=V1,V2", help="One run for every value; stages that they share run once."),
]
Only = Annotated[list[str] | None, typer.Option("--only", metavar="STAGE", help="Only this stage.")]
StorageFolder = Annotated[Path, typer.Option("--storage", help="Folder of results.")]
OtherStorage = Annotated[str | None, typer.Option("--storage", help="Folder of results; short for --set storage=...")]


def _show_version(wanted: bool) -> None:
    if wanted:
        from workflows.commands.version import version

        print(version())
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """COSA experiments: a YAML spec says what to run; finished stages are skipped."""


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

    changes = _with_storage(overrides, storage)
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
    experiments = {variant: load_spec(spec, [*changes, *variant]) for variant in variants}

    def run_one(variant: tuple[str, ...]) -> Plan:
        return run(experiments[variant], reporter, replace(options, overrides=tuple(changes), variant=variant))

    _clean_up_after_interrupt()
    try:
        if sweep:
            run_variants(variants, run_one, reporter, options.addresses)
        else:
            run_one(())
    except Preempted as ending:  # It is caught here, because click would treat it like Ctrl-C.
        print("asked to end (SIGTERM)", file=sys.stderr)
        raise typer.Exit(ending.exit_code) from None


@app.command()
def submit(
    spec: Spec,
    overrides: Overrides = None,
    force: Force = None,
    first: First = None,
    until: Until = None,
    only: Only = None,
    storage: OtherStorage = None,
    address: Annotated[str, typer.Option(help="The cluster's dashboard.")] = "http://127.0.0.1:8265",
    python: Annotated[str, typer.Option(help="Python with this program's packages, on the cluster's head.")] = "python",
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not follow the job.")] = False,
) -> None:
    """Submit a run to a Ray cluster. The log of its job is followed; Ctrl-C stops following, not the job."""
    from workflows.cluster.submission import Submission, follow, how_to_follow
    from workflows.cluster.submission import submit as submit_job
    from workflows.planning.selection import Selection

    _clean_up_after_interrupt()
    selection = Selection.of(first, until, only)
    chosen = Submission(spec, tuple(_with_storage(overrides, storage)), tuple(force or ()), selection, address, python)
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
        _with_storage(overrides, storage),
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
    """Check specs: fields, types, names of stages and datasets. Touches no data."""
    from workflows.commands.validate import validate as validate_specs

    validate_specs(specs, overrides or [])


@app.command()
def init(
    template: Annotated[str, typer.Argument(help="Which spec to copy, such as retrieval/msrvtt.")] = "own-clips",
    into: Annotated[Path, typer.Option(help="Folder to copy to.")] = Path("experiments"),
    show: Annotated[bool, typer.Option("--list", help="List all templates instead.")] = False,
) -> None:
    """Copy a spec to start from: by default one for clips of your own. Say what it needs, and where."""
    from workflows.commands.init import init as copy_template
    from workflows.commands.init import show_templates

    if show:
        show_templates()
    else:
        copy_template(template, into)


@app.command("list")
def list_(
    only: Annotated[str | None, typer.Argument(metavar="[WHAT]", help="Only results, specs or converters.")] = None,
    storage: StorageFolder = Path("storage"),
    folder: Annotated[Path, typer.Option("--experiments", help="Folder of specs.")] = Path("experiments"),
    as_json: Annotated[bool, typer.Option("--json", help="Print all as JSON.")] = False,
) -> None:
    """List results with what tells them apart, specs, and dataset converters. In a pipe: tab-separated."""
    from workflows.commands.listing import show_listing

    show_listing(folder, storage, only=only, as_json=as_json)


@app.command()
def verify(storage: StorageFolder = Path("storage")) -> None:
    """Read all results through. Say which are not what was made."""
    from workflows.commands.verify import verify as verify_results

    verify_results(storage)


@app.command("import-checkpoint")
def import_checkpoint(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A published file of weights, or a published folder.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    options: Annotated[Path | None, typer.Option("--hps", help="Its hps.json; left out: the one beside it, if any.")] = None,
    resolution: Annotated[int | None, typer.Option(help="Side of the images, pixels; left out: the file's.", min=1)] = None,
    frame_positions: Annotated[int | None, typer.Option(help="Frame embeddings; left out: the file's.", min=1)] = None,
    text_heads: Annotated[int | None, typer.Option(help="Attention heads of BERT, if neither base nor large.", min=1)] = None,
    vision_heads: Annotated[int | None, typer.Option(help="Attention heads of CLIP, if not 64 wide.", min=1)] = None,
) -> None:
    """Convert a published checkpoint into ours. Say what became of every key."""
    from workflows.commands.import_checkpoint import import_checkpoint as run_import

    _clean_up_after_interrupt()
    run_import(
        file,
        out,
        options=options,
        resolution=resolution,
        frame_positions=frame_positions,
        text_heads=text_heads,
        vision_heads=vision_heads,
    )


@app.command()
def ui(
    storage: StorageFolder = Path("storage"),
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.", min=1024, max=65535)] = 5000,
) -> None:
    """Open the MLflow UI on the results of a storage folder."""
    from workflows.commands.mlflow_ui import serve_ui

    _clean_up_after_interrupt()
    serve_ui(storage, port)


@app.command()
def doctor(storage: StorageFolder = Path("storage")) -> None:
    """Try every part of the installation: torch, video, Java, MLflow, Ray. Say what to do if one fails."""
    from workflows.commands.doctor import run_doctor

    _clean_up_after_interrupt()
    run_doctor(storage)


@app.command()
def schema(
    section: Annotated[str | None, typer.Argument(help="A stage kind, a section or a field; all when left out.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON schema, for editors.")] = False,
) -> None:
    """Explain every field of a spec."""
    from workflows.commands.schema import show_schema

    show_schema(section, as_json=as_json)


@app.command()
def sync(files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files unsent-*.jsonl.")]) -> None:
    """Send MLflow the records that it missed."""
    from workflows.records.tracking import sync_files

    _clean_up_after_interrupt()
    sync_files(files)


def _with_storage(overrides: list[str] | None, storage: str | None) -> list[str]:
    """Append to the overrides the one that --storage stands for."""
    return [*(overrides or []), *([f"storage={json.dumps(storage)}"] if storage is not None else [])]


def main() -> None:
    """Run a command; a user's mistake is one clear message, not a traceback."""
    from workflows.terminal.streams import say

    try:
        _main()
    except KeyboardInterrupt:
        say("interrupted")
        raise SystemExit(INTERRUPTED) from None


def _main() -> None:
    from cosa.errors import UserError
    from workflows.terminal.plain_text import print_everywhere
    from workflows.terminal.streams import leave_broken, refusal, say

    print_everywhere()
    signal.signal(signal.SIGHUP, _interrupt)
    signal.signal(signal.SIGTERM, _preempt)
    try:
        code = app(standalone_mode=False)  # click turns Ctrl-C and typer.Exit into a returned code.
        sys.stdout.flush()
    except UserError as error:
        say(f"error: {error}")
        raise SystemExit(error.exit_code) from None
    except typer.Abort:
        raise KeyboardInterrupt from None
    except BrokenPipeError:
        leave_broken(sys.stdout)
        raise SystemExit(1) from None
    except OSError as error:
        leave_broken(sys.stdout)
        say(f"error: {refusal(error)}")
        raise SystemExit(1) from None
    except Exception as error:
        _show_mistake_in_extension(error)
        _show_usage_error(error)
    else:
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        if isinstance(code, int) and code:
            raise SystemExit(code)


def _clean_up_after_interrupt() -> None:
    """Let Ctrl-C raise KeyboardInterrupt from here on. Commands that only read need no cleaning up, and simply end."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt(number: int, _: object) -> None:
    """Treat the loss of the terminal like Ctrl-C: children are stopped, records are sent, and the resume command is printed."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _preempt(number: int, _: object) -> None:
    """End in the same way when the machine is about to be taken away, but let training save first."""
    from workflows.cluster.preemption import Preempted

    signal.signal(number, signal.SIG_IGN)
    raise Preempted


def _show_mistake_in_extension(error: Exception) -> None:
    """Show where a file of the user's own failed, and exit; return if it was none."""
    from cosa.extensions import mistake_in_extension
    from workflows.terminal.streams import say

    mistake = mistake_in_extension(error)
    if mistake is not None:
        say(f"error: {mistake}")
        raise SystemExit(mistake.exit_code) from None


def _show_usage_error(error: Exception) -> None:
    """Show wrong arguments as typer does; raise anything else again, because it is a defect and needs its traceback."""
    from workflows.terminal.streams import say
    from workflows.terminal.usage import usage_text

    if isinstance(error, typer.Exit):
        raise SystemExit(error.exit_code) from None
    text = usage_text(error)
    if text is None:
        raise error
    say(text)
    raise SystemExit(getattr(error, "exit_code", 2)) from None


if __name__ == "__main__":
    main()
