"""Runs a Ray Train run from the driver in such a way that Ctrl-C still works, and finds users' mistakes in Ray's errors."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from cosa.errors import UserError
from workflows.cluster.preemption import GRACE_SECONDS
from workflows.cluster.ray_cluster import WorkerResources
from workflows.cluster.ray_private import trainer_class
from workflows.cluster.ray_watch import RayLostInterrupt
from workflows.execution.checkpoints import discard_damaged_book
from workflows.execution.run_folder import RunFolder
from workflows.execution.worker_loss import WorkersLostError, causes_of, gpu_memory_mistake, memory_kills, why_lost

_LOG = logging.getLogger(__name__)
POLL_SECONDS = 0.25
MAX_RESTARTS = 2  # The worker group is restarted this many times after a worker has died.
MAX_RESTARTS_ELASTIC = 20  # It is restarted more often where machines are expected to leave.
# Workers wait this long for room. Just after losing a machine Ray still counts on it; after the wait it tries fewer workers.
ROOM_SECONDS, ROOM_SECONDS_ELASTIC = 120, 15
RESIZE_SECONDS = 60.0  # Ray looks this often for room for more workers; a change repeats the steps since the last checkpoint.


def trainer_of(
    worker: Callable[[dict[str, Any]], Any],
    config: dict[str, Any],
    resources: WorkerResources,
    *,
    name: str,
    storage: Path | str,
    score: str | None = None,
    mode: str = "max",
    retain_all: bool = False,
    callbacks: list[Any] | None = None,
    notices: Path | None = None,
    can_be_orphaned: bool = True,
    warn: Callable[[str], None] = _LOG.warning,
) -> Any:
    """Make a TorchTrainer for one training or evaluation. The same name and storage resume an interrupted run.

    Args:
        worker: what every worker runs, with `config`.
        config: plain data.
        resources: of the workers.
        name: of the run.
        storage: where Ray saves checkpoints: an absolute path, or s3://BUCKET/PREFIX?OPTIONS.
        score: the checkpoint with the best value of this metric is saved beside the latest.
        mode: max or min, of the score.
        retain_all: whether no checkpoint is deleted.
        callbacks: of Ray Train.
        notices: the folder of a training, in whose progress file it is written that workers ended and start again.
        warn: is called if Ray's list of the run's checkpoints is damaged.
        can_be_orphaned: whether the cluster can outlive the driver of this run, in which case the run must free its resources.
    """
    damage = discard_damaged_book(RunFolder.at(storage, name))
    if damage is not None:
        warn(damage)
    from ray.train import CheckpointConfig, FailureConfig, LoggingConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig

    from workflows.execution.restarts import RestartNotices

    is_elastic = resources.minimum is not None
    restarts = MAX_RESTARTS_ELASTIC if is_elastic else MAX_RESTARTS
    # Ray reads this variable where `fit` is called, and passes it on.
    os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = str(ROOM_SECONDS_ELASTIC if is_elastic else ROOM_SECONDS)
    return trainer_class(name, can_be_orphaned)(
        worker,
        train_loop_config=config,
        torch_config=TorchConfig(timeout_s=300),
        scaling_config=ScalingConfig(
            num_workers=(resources.minimum, resources.workers) if is_elastic else resources.workers,
            elastic_resize_monitor_interval_s=RESIZE_SECONDS,
            use_gpu=resources.gpus > 0,
            resources_per_worker=resources.per_worker,
            placement_strategy=resources.placement.upper(),
        ),
        run_config=RunConfig(
            name=name,
            storage_path=str(storage),
            callbacks=[*(callbacks or []), *([] if notices is None else [RestartNotices(notices, restarts)])],
            failure_config=FailureConfig(max_failures=restarts, controller_failure_limit=restarts),
            checkpoint_config=CheckpointConfig(
                num_to_keep=None if retain_all else 2,
                checkpoint_score_attribute=score,
                checkpoint_score_order=mode if score else "max",
            ),
            logging_config=LoggingConfig(log_level="ERROR"),
        ),
    )


def fit_in_background(trainer: Any, on_poll: Callable[[], Any], ask_to_stop: Callable[[], None] | None = None) -> Any:
    """Run `trainer.fit()` in a thread and `on_poll` in this one; Ray Train then leaves the signal handlers alone.

    Args:
        trainer: of Ray Train, or a tuner of Ray Tune.
        on_poll: called several times a second.
        ask_to_stop: is called when the process is asked to end, by Ctrl-C or SIGTERM, and makes what runs save and end; a
            second Ctrl-C does not wait for that. Without it nothing is saved.

    Returns:
        fit's result.

    Raises:
        UserError: a worker raised one.
        KeyboardInterrupt: the process was asked to end; what could be saved is saved.
    """
    outcome: dict[str, Any] = {}
    kills = memory_kills()

    def run() -> None:
        try:
            outcome["result"] = trainer.fit()
        except BaseException as error:
            outcome["error"] = error
        finally:
            ended.set()

    # An event is used because a signal in the middle of Thread.join makes Python believe that the thread has ended.
    ended = threading.Event()
    threading.Thread(target=run, name="fit", daemon=True).start()

    def wait(seconds: float = math.inf) -> None:
        deadline = time.monotonic() + seconds
        while not ended.is_set() and time.monotonic() < deadline:
            ended.wait(POLL_SECONDS)
            on_poll()

    try:
        wait()
    except KeyboardInterrupt as asked:
        if ask_to_stop is not None and not isinstance(asked, RayLostInterrupt):
            with suppress(RayLostInterrupt):  # Whoever ended this process may have ended Ray, too.
                ask_to_stop()
                wait(GRACE_SECONDS)
        raise
    on_poll()
    if "error" in outcome:
        raise _explained(outcome["error"], kills)
    return outcome["result"]


def _explained(error: BaseException, kills_before: int) -> BaseException:
    """Return an error that says what happened to workers: a mistake of the user's, their loss, or what Ray raised."""
    found = user_error_in(error)
    reason = why_lost(error, None, kills_before) if found is error else None
    if reason is not None:
        found = WorkersLostError(f"{reason}; the workers were started again as often as allowed")
    elif isinstance(error, SystemExit):
        found = RuntimeError("Ray has ended its thread of this process")  # This process itself was not asked to end.
    if found is not error:
        found.__cause__ = error  # The log shows it.
    return found


def user_error_in(error: BaseException) -> BaseException:
    """Find the user's mistake inside an error that Ray wrapped around it, or return the error itself."""
    found = next((cause for cause in causes_of(error) if isinstance(cause, UserError)), None)
    # What Ray raises for an error in a task is of both classes, and its text is the worker's traceback.
    inner = getattr(found, "cause", None)
    return (inner if isinstance(inner, UserError) else found) or gpu_memory_mistake(error) or error
