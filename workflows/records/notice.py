"""Notifies a command of the user's own, or a web address (webhook), that a run has ended."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from http.client import HTTPException
from shutil import which
from typing import Any, Literal
from urllib.error import HTTPError

from cosa.errors import UserError
from workflows.planning.plan import Plan
from workflows.records.final_table import result_rows
from workflows.spec.notices import is_address
from workflows.spec.secrets import Secrets
from workflows.spec.sections import ExperimentSection

COMMAND_SECONDS, ADDRESS_SECONDS = 60.0, 10.0
Status = Literal["finished", "failed", "interrupted"]
_STATUS: Mapping[str, Status] = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "interrupted"}  # by MLflow's


@dataclass(frozen=True)
class Notice:
    """What is reported of a run.

    seconds: that it took. metrics: of evaluations, by stage and name. error: why it failed, in a line. resume: the command that
    resumes it.
    """

    experiment: str
    status: Status
    seconds: float
    storage: str
    metrics: dict[str, dict[str, float]]
    error: str | None = None
    resume: str | None = None

    @property
    def text(self) -> str:
        """All of it in a line, or two if there is a command that resumes it."""
        figures = ", ".join(f"{stage} {name} {value:.1f}" for stage, one in self.metrics.items() for name, value in one.items())
        about = self.error if self.status == "failed" else figures
        line = f"{self.experiment} {self.status} after {self.seconds / 60:.0f} min" + (f": {about}" if about else "")
        return line if self.resume is None else f"{line}\nResume with: {self.resume}"

    def data(self) -> dict[str, Any]:
        """All of it, for programs; `text` and `content` are what chats show (Slack, Mattermost; Discord)."""
        return {**asdict(self), "text": self.text, "content": self.text}


def require_commands(section: ExperimentSection) -> None:
    """Refuse commands that this machine lacks, before anything runs.

    Raises:
        UserError: one is not found.
    """
    for field, target in (("on_finish", section.on_finish), ("on_failure", section.on_failure)):
        if target is not None and not is_address(target) and which(shlex.split(target)[0]) is None:
            raise UserError(f"{field}: no program {shlex.split(target)[0]!r} is found; give its path, or leave the field out")


def notify(
    plan: Plan, status: str, seconds: float, failure: Exception | None, resume: str | None, warn: Callable[[str], None]
) -> None:
    """Notify the command or address that the spec names, if it names one, that a run has ended.

    Args:
        plan: what was run.
        status: of MLflow.
        seconds: that it took.
        failure: why it failed, if it did.
        resume: the command that resumes it.
        warn: called with a line if the notice does not arrive, which does not affect the run's results.
    """
    section, is_finished = plan.experiment.section, status == "FINISHED"
    target = section.on_finish if is_finished else section.on_failure
    if target is None:
        return
    metrics: dict[str, dict[str, float]] = {}
    for row in result_rows(plan):
        metrics.setdefault(row["stage"], {})[row["metric"]] = row["value"]
    why = None if failure is None else str(failure).partition("\n")[0]
    storage = str(plan.storage.folder.absolute())
    notice = Notice(plan.experiment.name, _STATUS[status], round(seconds, 1), storage, metrics, why, resume)
    problem = send(target, notice)
    if problem is not None:
        warn(f"{'on_finish' if is_finished else 'on_failure'}: {problem}")


def send(target: str, notice: Notice) -> str | None:
    """Send a notice to a command or an address; return what is wrong if that fails.

    A command gets the notice as JSON on its standard input, and its status as COSA_STATUS; no shell is involved. An address
    gets the same JSON by POST. Neither the command nor the address is in what is returned: they may hold a secret.
    """
    secrets = Secrets.of_process()
    content = json.dumps(secrets.hide_in(notice.data())).encode()
    try:
        problem = _post(target, content) if is_address(target) else _run(shlex.split(target), content, notice)
    except (subprocess.TimeoutExpired, TimeoutError):
        return "it took too long"
    except (OSError, ValueError, HTTPException) as error:
        return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__)
    return None if problem is None else secrets.hide(problem)


def _post(address: str, content: bytes) -> str | None:
    request = urllib.request.Request(address, content, {"Content-Type": "application/json"})  # noqa: S310  http or https
    try:
        with urllib.request.urlopen(request, timeout=ADDRESS_SECONDS):  # noqa: S310
            return None
    except HTTPError as error:
        return f"the address answered {error.code} ({error.reason})"


def _run(command: list[str], content: bytes, notice: Notice) -> str | None:
    environment = {**os.environ, "COSA_STATUS": notice.status, "COSA_EXPERIMENT": notice.experiment}
    done = subprocess.run(  # noqa: S603  the user's own command
        command, input=content, env=environment, timeout=COMMAND_SECONDS, capture_output=True, check=False
    )
    said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    return f"the command ended with code {done.returncode}{f': {said}' if said else ''}" if done.returncode else None
