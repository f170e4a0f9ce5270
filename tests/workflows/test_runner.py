"""How an invocation ends when something of it cannot."""

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cosa.errors import UserError
from tests.workflows.planning.planned import lay_out, plan
from workflows import runner
from workflows.results.locks import exclusive


def test_records_are_sent_even_if_ray_cannot_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def stop() -> None:
        raise OSError("busy")

    monkeypatch.setattr(runner, "address_lines", lambda *_: ["addresses"])
    tracker = SimpleNamespace(flush=lambda _: None, close=lambda: done.append("closed"), experiment_id=None)
    record = SimpleNamespace(comparison=None)
    cluster = SimpleNamespace(stop=stop)
    reporter: Any = SimpleNamespace(print=done.append)
    options = runner.RunOptions()
    invocation: Any = SimpleNamespace(
        plan=None, reporter=reporter, options=options, tracker=tracker, record=record, cluster=cluster
    )
    with pytest.raises(OSError, match="busy"):
        runner._Run._finish(invocation, "FAILED")
    assert done == ["addresses", "closed"]


def test_a_run_that_does_not_wait_is_refused_before_it_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path, monkeypatch)
    made = plan()
    runner.require_free(made)
    step = made.to_run[0]
    with exclusive(made.storage.lock_file(str(step.fingerprint)), "the result"):
        message = f"^stage {step.name} is in progress: process {os.getpid()} on .*; without --no-wait this run waits for it$"
        with pytest.raises(UserError, match=message):
            runner.require_free(made)


def test_addresses_of_a_variant_wait_for_the_table_of_all() -> None:
    printed: list[str] = []
    reporter: Any = SimpleNamespace(print=printed.append)
    options = runner.RunOptions()
    for value in ("1", "2"):
        replace(options, variant=(f"seed={value}",)).show_addresses([f"results of {value}"], reporter)
    assert (printed, options.addresses) == ([], ["results of 2"])
    options.show_addresses(["results"], reporter)
    assert printed == ["results"]
