"""Starts the command line. Its commands are declared in workflows/command_line/."""

from __future__ import annotations

import signal

if __name__ == "__main__":  # Ctrl-C while modules are imported would end in a traceback, or in another error of a library.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import sys
from typing import Annotated

import typer

from workflows.command_line import experiments, models, results, start

INTERRUPTED = 130  # the exit code after Ctrl-C

app = typer.Typer(
    name="cosa",
    no_args_is_help=True,
    rich_markup_mode=None,  # Importing rich for the help would cost a third of the time.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for commands in (experiments, models, results, start):
    app.add_typer(commands.app)


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
