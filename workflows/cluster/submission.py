"""`cosa submit` hands a run over to a Ray cluster as a job. Program and spec travel with it, and its log comes back."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cosa.data.annotation_use import KINDS
from cosa.data.shards.paths import is_remote
from cosa.errors import UserError
from workflows.cluster.login_token import protect_token
from workflows.cluster.preemption import GRACE_SECONDS
from workflows.cluster.ray_cluster import RAY_ENVIRONMENT
from workflows.cluster.shipping import packed_program
from workflows.planning.selection import EVERYTHING, Selection
from workflows.records.mlflow_store import mask_passwords
from workflows.spec.experiment import Experiment
from workflows.spec.load import load_spec
from workflows.spec.stage_kinds import kind_of

# JSON takes these as they are, but a spec does not: they ended a line before YAML 1.2.
LINE_ENDS = {0x85: r"\u0085", 0x2028: r"\u2028", 0x2029: r"\u2029"}
SPEC_NAME = "experiment.yaml"
RETRY_SECONDS = 2.0
LOST_SECONDS = 120.0  # Following a job ends when the dashboard has not answered for so long.


@dataclass(frozen=True)
class Submission:
    """What is handed over. python: how the cluster's machines call it. selection, force: mean the same as in run-experiment."""

    spec: Path
    overrides: tuple[str, ...] = ()
    force: tuple[str, ...] = ()
    selection: Selection = EVERYTHING
    address: str = "http://127.0.0.1:8265"
    python: str = "python"


def submit(submission: Submission, say: Callable[[str], None]) -> str:
    """Start the job.

    Returns:
        its id.

    Raises:
        UserError: the spec is wrong or has a relative storage, or the cluster does not take the job.
    """
    experiment = load_spec(submission.spec, [*submission.overrides, "cluster.address=auto"])
    spec = travelling_spec(experiment)
    submission.selection.stages(experiment)
    protect_token(say, create=False)
    client = client_of(submission.address)
    forced = [word for name in submission.force for word in ("--force", name)]
    words = [submission.python, "cli.py", "run-experiment", SPEC_NAME, *forced, *submission.selection.arguments()]
    with packed_program() as folder:
        (folder / SPEC_NAME).write_text(text_of(spec), encoding="utf-8")
        # Everybody who sees the dashboard sees entry point, metadata and variables: what the spec says stays in the file.
        variables = {
            "COLUMNS": str(shutil.get_terminal_size((120, 24)).columns),
            "RAY_JOB_STOP_WAIT_TIME_S": str(int(GRACE_SECONDS) + 10),  # `ray job stop` waits for training to save.
        }
        try:
            job: str = client.submit_job(
                entrypoint=shlex.join(words),
                submission_id=f"{experiment.name}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}",
                metadata={"job_name": experiment.name},
                runtime_env={"working_dir": str(folder), "env_vars": variables},
            )
        except (RuntimeError, OSError) as error:
            raise UserError(
                f"the cluster at {submission.address} does not take the job: {mask_passwords(str(error))}"
            ) from error
    say(f"submitted {job} to {submission.address}; results will be in {Path(spec['storage']) / experiment.name}")
    return job


def text_of(spec: Mapping[str, Any]) -> str:
    """Return a spec as JSON that can be read as YAML."""
    return json.dumps(spec, indent=1, ensure_ascii=False).translate(LINE_ENDS) + "\n"


def travelling_spec(experiment: Experiment) -> dict[str, Any]:
    """Return the spec as one mapping that means the same on another machine: `extends` and ${...} are resolved, paths absolute.

    Raises:
        UserError: the storage is relative: results in a job's folder would be lost with it.
    """
    assert experiment.source is not None
    spec: dict[str, Any] = experiment.source.plain()
    storage = Path(experiment.section.storage).expanduser()
    if not storage.is_absolute():
        raise UserError(
            f"storage: {experiment.section.storage!r} is relative, and a job runs in a folder that is removed with it; give a "
            "folder that all machines of the cluster see, such as --storage /shared/results"
        )
    spec["storage"] = str(storage)
    spec.pop("profile", None)  # Its changes are made, and would be made to the values of --set, too.
    here = ("cpus", "dashboard_port")  # These describe a Ray that is started for the run.
    spec["cluster"] = {key: value for key, value in (spec.get("cluster") or {}).items() if key not in here}
    spec["cluster"]["address"] = "auto"
    for name, dataset in experiment.section.datasets.items():
        if dataset.made_by is None:
            written = _absolute(dataset.model_dump(mode="json", exclude_none=True), ("root", "frames", "linked_folders"))
            written["splits"] = {split: _absolute(files, (*KINDS, "shards")) for split, files in written["splits"].items()}
            if "decode" in written:
                written["decode"] = _absolute(written["decode"], ("cache",))
            spec["datasets"][name] = written
    for name, stage in experiment.stages.items():
        for read in kind_of(stage).reads(stage, experiment.section.datasets):
            for field in read.path_fields():
                _make_absolute(spec["stages"][name], field)
    if experiment.extensions:
        spec["extensions"] = [extension.file for extension in experiment.extensions]
    for part in ("vision", "text"):
        section = (spec.get("model") or {}).get(part) or {}
        if isinstance(section.get("pretrained"), str):
            section["pretrained"] = _absolute(section["pretrained"])
    return spec


def _make_absolute(section: Any, field: Sequence[str | int]) -> None:
    """Make the path at a field below a section absolute, in place."""
    *above, last = field
    for step in above:
        section = section[step]
    section[last] = _absolute(section[last])


def _absolute(value: Any, keys: Sequence[str] | None = None) -> Any:
    """Make a path absolute, or all paths inside a list or a mapping (below `keys`, if given)."""
    if isinstance(value, dict):
        return {key: _absolute(item) if keys is None or key in keys else item for key, item in value.items()}
    if isinstance(value, list):
        return [_absolute(item) for item in value]
    return value if is_remote(value) else str(Path(value).expanduser().absolute())


def client_of(address: str) -> Any:
    """Make Ray's client for jobs.

    Raises:
        UserError: nothing answers, or the cluster wants another token.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"--address {address}: expected the dashboard of the cluster, such as http://127.0.0.1:8265")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname, port), timeout=5).close()
    except OSError as error:
        raise UserError(
            f"--address {address}: nothing answers ({error}); docs/cluster.md says how to start a cluster"
        ) from error
    os.environ.update(RAY_ENVIRONMENT)
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):  # They would override the option.
        os.environ.pop(name, None)
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    try:
        return JobSubmissionClient(address)
    except AuthenticationError as error:
        raise UserError(
            f"--address {address}: the cluster does not accept this token; set RAY_AUTH_TOKEN_PATH to a file with the one that "
            "its nodes were started with (docs/cluster.md)"
        ) from error
    except (RuntimeError, OSError) as error:
        raise UserError(f"--address {address}: {error}") from error


def follow(job: str, address: str, write: Callable[[str], None]) -> bool:
    """Pass on what a job prints until it has ended, also after the connection was lost for a while.

    Returns:
        whether it succeeded.

    Raises:
        UserError: the dashboard does not answer any more.
        KeyboardInterrupt: the person has seen enough; the job continues.
    """
    from ray.job_submission import JobStatus

    client, shown, since = client_of(address), 0, time.monotonic()

    async def tail() -> None:
        nonlocal shown, since
        seen = 0  # Each connection sends the full log again.
        async for text in client.tail_job_logs(job):
            new = text[max(0, shown - seen) :]
            seen += len(text)
            since = time.monotonic()
            if new:
                write(new)
                shown = seen

    while True:
        status = None
        try:
            asyncio.run(tail())
            status = client.get_job_status(job)
        except (RuntimeError, OSError) as error:
            if time.monotonic() - since > LOST_SECONDS:
                raise UserError(f"{address} does not answer any more ({error})\n{how_to_follow(job, address)}") from error
        if status is not None and status.is_terminal():
            return bool(status == JobStatus.SUCCEEDED)
        time.sleep(RETRY_SECONDS)


def how_to_follow(job: str, address: str) -> str:
    """Say what a person can do with a job that runs."""
    return (
        f"the job continues; follow it again: RAY_AUTH_MODE=token ray job logs --follow {job} --address {address}\n"
        f"stop it (training saves first):  RAY_AUTH_MODE=token ray job stop {job} --address {address}"
    )
