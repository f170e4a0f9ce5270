"""All that this program uses of Ray's private interfaces, which any release of Ray may change.

Nothing depends on them: where Ray lacks one, or has it in another shape, one line of the log says so and what happens instead.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from importlib import import_module
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil

from workflows.cluster.start_worker import RAYS_PROGRAM
from workflows.records.provenance import command_line

_LOG = logging.getLogger(__name__)
_CHANGED = (ImportError, AttributeError, TypeError, ValueError, LookupError)  # how a changed interface shows


def init_ray(name: str, worker_program: Path | None = None, **arguments: Any) -> Any:
    """Call `ray.init` for a job of a name. worker_program: starts the workers in place of Ray's own, whose path it finds
    in the variable RAYS_PROGRAM.

    Ray shows a driver's command line to all who see the dashboard, so it gets one without passwords.
    """
    import ray
    from ray.job_config import JobConfig

    with shown_as(command_line()), workers_started_by(worker_program):
        return ray.init(
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=True,
            job_config=JobConfig(metadata={"job_name": name}),
            **arguments,
        )


@contextmanager
def shown_as(command_line: str) -> Iterator[None]:
    """While the block starts or joins Ray, Ray takes `command_line` for this program's: its dashboard shows it to everybody.

    Without Ray's own function for it, the words of this process are hidden from whatever else Ray may read them with.
    """
    with ExitStack() as replaced:
        try:
            utils = import_module("ray._private.utils")
            _require_function(utils, "get_entrypoint_name")
            replaced.enter_context(_replaced(utils, "get_entrypoint_name", lambda *_, **__: command_line))
        except _CHANGED as error:
            _warn(error, "the command line is hidden from all of Ray while it starts")
            replaced.enter_context(_hidden_words(command_line))
        yield


@contextmanager
def workers_started_by(program: Path | None) -> Iterator[None]:
    """While the block starts Ray, it takes a program for the one that starts its workers; None: its own."""
    with ExitStack() as replaced:
        try:
            if program is not None:
                services = import_module("ray._private.services")
                replaced.enter_context(
                    _replaced(services, "start_raylet", _with_worker_program(services.start_raylet, program))
                )
        except _CHANGED as error:
            _warn(error, "every worker imports torch again, which takes seconds")
        yield


def _with_worker_program(start_raylet: Any, program: Path) -> Any:
    parameters = signature(start_raylet)
    if "setup_worker_path" not in parameters.parameters:
        raise TypeError("start_raylet takes no setup_worker_path")

    @wraps(start_raylet)
    def start(*arguments: Any, **keywords: Any) -> Any:
        bound = parameters.bind(*arguments, **keywords)
        os.environ[RAYS_PROGRAM] = bound.arguments["setup_worker_path"]
        bound.arguments["setup_worker_path"] = str(program)
        try:
            return start_raylet(*bound.args, **bound.kwargs)
        finally:
            del os.environ[RAYS_PROGRAM]

    return start


@contextmanager
def _hidden_words(command_line: str) -> Iterator[None]:
    """The words of this process's command line as one that is safe to show, for psutil and in `sys.argv`."""
    own = psutil.Process.cmdline

    def cmdline(process: psutil.Process) -> list[str]:
        return [command_line] if process.pid == os.getpid() else own(process)

    # The program's own path stays: Ray gives its folder to workers.
    with _replaced(psutil.Process, "cmdline", cmdline), _replaced(sys, "argv", sys.argv[:1]):
        yield


def session_folder(context: Any) -> Path | None:
    """The folder of sockets and logs that a driver depends on; None, with a warning, if Ray does not say it.

    context: what `ray.init` returned.
    """
    try:
        return Path(context.address_info["session_dir"])
    except _CHANGED as error:
        _warn(error, "nobody notices at once when the folder of its session is removed")
        return None


def own_processes(context: Any) -> dict[str, psutil.Process]:
    """Ray's processes on this machine that a driver depends on, by name; those that are not found, with a warning, are not
    watched.

    context: what `ray.init` returned. That of a client of a cluster, `ray://`, names none.
    """
    try:
        mark = f"--raylet_socket_name={context.address_info['raylet_socket_name']}"
    except _CHANGED as error:
        _warn(error, "nobody notices at once when its processes end")
        return {}
    found = {p.name(): p for p in psutil.process_iter(["name", "cmdline"]) if mark in (p.info["cmdline"] or ())}
    if "raylet" not in found:
        _warn(LookupError(f"no process has {mark}"), "nobody notices at once when its processes end")
    return {name: process for name, process in found.items() if name == "raylet"} | {
        p.name(): p for p in psutil.Process().children() if p.name() == "gcs_server"
    }


def head_address(context: Any) -> tuple[str, int] | None:
    """Host and port of a cluster's head; None, with a warning, if Ray does not say it.

    context: what `ray.init` returned.
    """
    try:
        host, _, port = context.address_info["gcs_address"].rpartition(":")
        return host, int(port)
    except _CHANGED as error:
        _warn(error, "nobody notices at once when the head of the cluster ends")
        return None


def trainer_class(name: str, can_be_orphaned: bool) -> Any:
    """TorchTrainer under a name in the dashboard, without processes that its run has no use for.

    Each of these takes seconds to start and a share of a core: no Ray dataset is read, and a cluster that ends with its run
    needs nobody to clean up after it. Without Ray's private parts, all of them run, and classes have Ray's own names.
    """
    trainer = import_module("ray.train.torch").TorchTrainer
    try:
        trainer = _with_fewer_callbacks(trainer, can_be_orphaned)
    except _CHANGED as error:
        _warn(error, "trainings run with all default callbacks of Ray Train")
    try:
        trainer = _with_named_controller(trainer, name)
    except _CHANGED as error:
        _warn(error, f"the dashboard shows the processes of {name} without its name")
    return trainer


def _with_fewer_callbacks(trainer: Any, can_be_orphaned: bool) -> Any:
    callbacks = "ray.train.v2._internal.callbacks"
    _require_function(trainer, "_create_default_callbacks")
    unused = [_class(f"{callbacks}.datasets:DatasetsCallback")]
    if not can_be_orphaned:
        unused.append(_class(f"{callbacks}.placement_group_callback:PlacementGroupCleanerCallback"))

    class TrainerWithFewerCallbacks(trainer):
        def _create_default_callbacks(self, *arguments: Any, **keywords: Any) -> Any:
            created = super()._create_default_callbacks(*arguments, **keywords)
            return [callback for callback in created if not isinstance(callback, tuple(unused))]

    return TrainerWithFewerCallbacks


def _with_named_controller(trainer: Any, name: str) -> Any:
    api = import_module("ray.train.v2.api.data_parallel_trainer")
    _require_function(trainer, "_initialize_and_run_controller")
    own = _class_in(api, "TrainController")
    group = _class_in(own, "worker_group_cls")
    controller = _named_controller(own, group, _class_in(group, "_worker_cls"), name)

    class TrainerWithNamedController(trainer):
        def _initialize_and_run_controller(self, *arguments: Any, **keywords: Any) -> Any:
            with _replaced(api, "TrainController", controller):
                return super()._initialize_and_run_controller(*arguments, **keywords)

    return TrainerWithNamedController


def _named_controller(controller: Any, group: Any, worker: Any, name: str) -> Any:
    """Ray Train's controller, whose actor and workers the dashboard shows by a name; Ray's own classes have none."""

    class NamedWorker(worker):
        def __repr__(self) -> str:
            return name

    class NamedWorkerGroup(group):
        _worker_cls = NamedWorker

    class NamedController(controller):
        worker_group_cls = NamedWorkerGroup

        def __repr__(self) -> str:
            return name

    for named, own in ((NamedWorker, worker), (NamedController, controller)):
        named.__name__, named.__qualname__ = own.__name__, own.__qualname__
    return NamedController


def remember_trials(scheduler: Any, history: Mapping[str, Sequence[float]]) -> None:
    """Let Ray Tune's ASHA compare new trials with those of earlier invocations; without, it compares only new ones.

    history: the metric at validations 1, 2, ... of each earlier trial, by name; higher is better.
    """
    try:
        (bracket,) = scheduler._brackets
        for name, values in history.items():
            for number, value in enumerate(values, 1):
                bracket.on_result(SimpleNamespace(trial_id=name), number, value)
    except _CHANGED as error:
        _warn(error, "early stopping compares trials only with those of this invocation")


# -- looking at Ray ----------------------------------------------------------------------------------------------------


def _warn(error: Exception, consequence: str) -> None:
    import ray

    _LOG.warning("Ray %s is not as expected (%s): %s", ray.__version__, error, consequence)


def _require_function(owner: Any, name: str) -> None:
    if not callable(getattr(owner, name)):
        raise TypeError(f"{name} of {owner.__name__} is no function")


def _class(path: str) -> Any:
    module, name = path.split(":")
    return _class_in(import_module(module), name)


def _class_in(owner: Any, name: str) -> Any:
    found = getattr(owner, name)
    if not isinstance(found, type):
        raise TypeError(f"{name} of {owner.__name__} is no class")
    return found


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    own = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, own)
