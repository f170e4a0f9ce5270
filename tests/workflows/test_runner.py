"""How an invocation ends when something of it cannot."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from workflows import runner
from workflows.planning.step import Step


def test_records_are_sent_even_if_ray_cannot_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def stop() -> None:
        raise OSError("busy")

    monkeypatch.setattr(runner, "address_lines", lambda *_: ["addresses"])
    tracker = SimpleNamespace(flush=lambda _: None, close=lambda: done.append("closed"), experiment_id=None)
    record = SimpleNamespace(comparison=lambda: None)
    cluster = SimpleNamespace(stop=stop)
    reporter: Any = SimpleNamespace(print=done.append)
    options = runner.RunOptions()
    invocation: Any = SimpleNamespace(
        plan=None, reporter=reporter, options=options, tracker=tracker, record=record, cluster=cluster
    )
    with pytest.raises(OSError, match="busy"):
        runner._Run._finish(invocation, "FAILED")
    assert done == ["addresses", "closed"]


@pytest.mark.parametrize(("has_earlier", "how"), [(True, "with only --force second"), (False, "without --force")])
def test_a_forced_job_is_resumed_by_a_command_that_forces_what_is_left(
    has_earlier: bool, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "is_job", lambda: True)
    first, second, third = (
        SimpleNamespace(name=name, action="run", forced=True, inputs=dict.fromkeys(inputs, ""))
        for name, inputs in (("first", ()), ("second", ("first",)), ("third", ("second",)))
    )
    invocation: Any = SimpleNamespace(
        plan=SimpleNamespace(steps=(first, second, third)),
        options=runner.RunOptions(force=("first",), resume_command="the command that submitted this job"),
        _is_forced_again=lambda step: has_earlier,
    )
    command = runner._Run._resume_command(invocation, cast(Step, second))
    assert command == f"the command that submitted this job, {how}"


def test_addresses_of_a_variant_wait_for_the_table_of_all() -> None:
    printed: list[str] = []
    reporter: Any = SimpleNamespace(print=printed.append)
    options = runner.RunOptions()
    for value in ("1", "2"):
        replace(options, variant=(f"seed={value}",)).show_addresses([f"results of {value}"], reporter)
    assert (printed, options.addresses) == ([], ["results of 2"])
    options.show_addresses(["results"], reporter)
    assert printed == ["results"]
