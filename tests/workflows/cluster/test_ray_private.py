"""What happens where Ray lacks a private interface, or has it in another shape. No Ray is started."""

import ast
import logging
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import ray
from ray._private import services, utils
from ray.train.torch import TorchTrainer
from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.controller import TrainController
from ray.train.v2._internal.execution.worker_group import WorkerGroup
from ray.train.v2.api import data_parallel_trainer
from ray.tune.schedulers import ASHAScheduler

from workflows.cluster import ray_private
from workflows.cluster.ray_private import (
    head_address,
    own_processes,
    remember_trials,
    session_folder,
    shown_as,
    trainer_class,
    workers_started_by,
)
from workflows.cluster.start_worker import RAYS_PROGRAM

ROOT = Path(__file__).parents[3]
SHOWN = "cosa run-experiment e.yaml --set tracking.uri=***"
SECRET = "tracking.uri=http://me:pw@host"


def the_only(caplog: pytest.LogCaptureFixture) -> str:
    """The one warning that was logged, in one line."""
    (record,) = warnings(caplog)
    message = record.getMessage()
    assert "\n" not in message
    assert f"Ray {ray.__version__} is not as expected" in message
    return message


def warnings(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == ray_private.__name__]


# -- the command line ---------------------------------------------------------------------------------------------------


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The words of this process as if a secret had been typed."""
    words = ["cosa", "--set", SECRET]
    own = psutil.Process.cmdline
    monkeypatch.setattr(psutil.Process, "cmdline", lambda p: words if p.pid == psutil.Process().pid else own(p))
    monkeypatch.setattr(sys, "argv", list(words))
    return words


def test_ray_is_given_the_command_line_without_secrets(typed: list[str], caplog: pytest.LogCaptureFixture) -> None:
    own = utils.get_entrypoint_name
    assert SECRET in own()
    with shown_as(SHOWN):
        assert utils.get_entrypoint_name() == SHOWN
    assert utils.get_entrypoint_name is own
    assert not warnings(caplog)


@pytest.mark.parametrize("changed", [None, "no function"])
def test_a_command_line_is_hidden_from_a_ray_that_reads_it_otherwise(
    typed: list[str], changed: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if changed is None:
        monkeypatch.delattr(utils, "get_entrypoint_name")
    else:
        monkeypatch.setattr(utils, "get_entrypoint_name", changed)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        with shown_as(SHOWN):
            read = [*psutil.Process().cmdline(), *sys.argv]
            assert psutil.Process(other.pid).cmdline()[-1] == "input()"
        other.communicate(b"\n")
    assert read == [SHOWN, "cosa"]
    assert SECRET not in shlex.join(read)
    assert (psutil.Process().cmdline(), sys.argv) == (typed, typed)
    assert "hidden" in the_only(caplog)


# -- the start of workers -----------------------------------------------------------------------------------------------


def test_a_program_starts_the_workers(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def start_raylet(address: str, setup_worker_path: str, *, is_head: bool = False) -> tuple[str, str, bool, str | None]:
        return address, setup_worker_path, is_head, os.environ.get(RAYS_PROGRAM)

    monkeypatch.setattr(services, "start_raylet", start_raylet)
    with workers_started_by(Path("/ours.py")):
        assert services.start_raylet("a", "/rays.py", is_head=True) == ("a", "/ours.py", True, "/rays.py")
    with workers_started_by(None):
        assert services.start_raylet("a", "/rays.py") == ("a", "/rays.py", False, None)
    assert services.start_raylet is start_raylet
    assert not warnings(caplog)


def test_the_installed_ray_takes_a_program(caplog: pytest.LogCaptureFixture) -> None:
    own = services.start_raylet
    with workers_started_by(Path("/ours.py")):
        assert services.start_raylet is not own
    assert not warnings(caplog)


@pytest.mark.parametrize("changed", [None, "no function", lambda address: address])
def test_a_ray_that_takes_none_starts_them_itself(
    changed: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if changed is None:
        monkeypatch.delattr(services, "start_raylet")
    else:
        monkeypatch.setattr(services, "start_raylet", changed)
    with workers_started_by(Path("/ours.py")):
        assert getattr(services, "start_raylet", None) is changed
    assert "every worker imports torch again" in the_only(caplog)


# -- the session's folder -----------------------------------------------------------------------------------------------


def test_the_folder_of_a_session(caplog: pytest.LogCaptureFixture) -> None:
    assert session_folder(SimpleNamespace(address_info={"session_dir": "/tmp/ray/s"})) == Path("/tmp/ray/s")
    assert not warnings(caplog)


@pytest.mark.parametrize("context", [SimpleNamespace(), SimpleNamespace(address_info={}), SimpleNamespace(address_info=None),
                                     SimpleNamespace(address_info={"session_dir": None})])  # fmt: skip
def test_a_folder_that_ray_does_not_name_is_left_alone(context: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert session_folder(context) is None
    assert "the folder of its session is removed" in the_only(caplog)


# -- Ray's processes ----------------------------------------------------------------------------------------------------


def test_the_raylet_of_a_driver_is_found_by_its_socket(caplog: pytest.LogCaptureFixture) -> None:
    """Another program that names the same socket is not taken for it."""
    socket = "--raylet_socket_name=/a/raylet"
    with subprocess.Popen([sys.executable, "-c", "input()", socket], stdin=subprocess.PIPE) as other:
        assert own_processes(SimpleNamespace(address_info={"raylet_socket_name": "/a/raylet"})) == {}
        other.communicate(b"\n")
    assert f"no process has {socket}" in the_only(caplog)


@pytest.mark.parametrize("context", [SimpleNamespace(), SimpleNamespace(address_info={}), SimpleNamespace(address_info=None)])
def test_what_ray_does_not_name_is_not_watched(context: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert own_processes(context) == {}
    assert "nobody notices at once when its processes end" in the_only(caplog)
    caplog.clear()
    assert head_address(context) is None
    assert "nobody notices at once when the head of the cluster ends" in the_only(caplog)


def test_the_head_of_a_cluster() -> None:
    assert head_address(SimpleNamespace(address_info={"gcs_address": "10.0.0.1:6379"})) == ("10.0.0.1", 6379)


# -- Ray Train ----------------------------------------------------------------------------------------------------------


class FakeCallbacks:
    """Replaces what Ray Train would create, so that no run is needed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        kinds = [DatasetsCallback, PlacementGroupCleanerCallback, dict]
        made = [object.__new__(kind) if kind is not dict else {} for kind in kinds]
        monkeypatch.setattr(TorchTrainer, "_create_default_callbacks", lambda self: made)

    def of(self, trainer: Any) -> list[str]:
        return [type(callback).__name__ for callback in object.__new__(trainer)._create_default_callbacks()]


ALL_CALLBACKS = ["DatasetsCallback", "PlacementGroupCleanerCallback", "dict"]


def test_callbacks_without_use_are_left_out(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    fake = FakeCallbacks(monkeypatch)
    assert fake.of(trainer_class("a", can_be_orphaned=True)) == ALL_CALLBACKS[1:]
    assert fake.of(trainer_class("a", can_be_orphaned=False)) == ALL_CALLBACKS[2:]
    assert not warnings(caplog)


@pytest.mark.parametrize("callback", [DatasetsCallback, PlacementGroupCleanerCallback])
def test_all_callbacks_stay_if_ray_lacks_one_of_the_unused(
    callback: type, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fake = FakeCallbacks(monkeypatch)
    monkeypatch.delattr(sys.modules[callback.__module__], callback.__name__)
    assert fake.of(trainer_class("a", can_be_orphaned=False)) == ALL_CALLBACKS
    assert "all default callbacks" in the_only(caplog)


@pytest.mark.parametrize("change", [
    lambda patch: patch.delattr(data_parallel_trainer.DataParallelTrainer, "_create_default_callbacks"),
    lambda patch: patch.setattr(data_parallel_trainer.DataParallelTrainer, "_create_default_callbacks", ()),
    lambda patch: patch.setitem(sys.modules, "ray.train.v2._internal.callbacks.datasets", None),
])  # fmt: skip
def test_a_trainer_without_the_hook_for_callbacks_still_has_its_name(
    change: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    change(monkeypatch)
    assert names_of(trainer_class("a", can_be_orphaned=True), monkeypatch) == ("a", "a")
    assert "all default callbacks" in the_only(caplog)


def names_of(trainer: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """How the dashboard would show the controller and the workers, whose own form is that of `object`."""
    seen: list[type] = []
    monkeypatch.setattr(
        data_parallel_trainer.DataParallelTrainer,
        "_initialize_and_run_controller",
        lambda self, **_: seen.append(data_parallel_trainer.TrainController),
    )
    own = data_parallel_trainer.TrainController
    object.__new__(trainer)._initialize_and_run_controller(a=1)
    assert data_parallel_trainer.TrainController is own
    (controller,) = seen
    assert controller.__name__ == "TrainController"
    worker = getattr(getattr(controller, "worker_group_cls", WorkerGroup), "_worker_cls", object)
    shown = repr(object.__new__(controller)), repr(object.__new__(worker))
    return tuple("" if text.startswith("<") else text for text in shown)  # type: ignore[return-value]


def test_the_dashboard_shows_controller_and_workers_by_name(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert names_of(trainer_class("spread-pretrain", can_be_orphaned=True), monkeypatch) == ("spread-pretrain",) * 2
    assert not warnings(caplog)


@pytest.mark.parametrize(("owner", "name"), [(TrainController, "worker_group_cls"), (WorkerGroup, "_worker_cls")])
def test_the_dashboard_shows_rays_own_names_if_ray_is_built_otherwise(
    owner: Any, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr(owner, name)
    fake = FakeCallbacks(monkeypatch)
    trainer = trainer_class("a", can_be_orphaned=False)
    assert names_of(trainer, monkeypatch) == ("", "")
    assert fake.of(trainer) == ALL_CALLBACKS[2:]
    assert "without its name" in the_only(caplog)


@pytest.mark.parametrize("change", [
    lambda patch: patch.delattr(data_parallel_trainer, "TrainController"),
    lambda patch: patch.setattr(data_parallel_trainer, "TrainController", lambda **_: None),
    lambda patch: patch.delattr(data_parallel_trainer.DataParallelTrainer, "_initialize_and_run_controller"),
])  # fmt: skip
def test_a_trainer_is_made_even_if_ray_starts_controllers_otherwise(
    change: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    change(monkeypatch)
    fake = FakeCallbacks(monkeypatch)
    trainer = trainer_class("a", can_be_orphaned=True)
    assert issubclass(trainer, TorchTrainer)
    assert fake.of(trainer) == ALL_CALLBACKS[1:]
    assert "without its name" in the_only(caplog)


# -- Ray Tune -----------------------------------------------------------------------------------------------------------

HISTORY = {"a": [0.1, 0.2], "b": [0.3]}


def test_asha_remembers_trials(caplog: pytest.LogCaptureFixture) -> None:
    scheduler = ASHAScheduler(max_t=2, grace_period=1, reduction_factor=2)
    remember_trials(scheduler, HISTORY)
    assert scheduler._brackets[0].on_result(SimpleNamespace(trial_id="c"), 1, 0.15) == "STOP"
    assert not warnings(caplog)


@pytest.mark.parametrize("brackets", [None, [], [SimpleNamespace()], [SimpleNamespace(on_result=lambda trial: None)], 1])
def test_asha_goes_without_earlier_trials_if_it_has_no_place_for_them(
    brackets: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler = ASHAScheduler(max_t=2, grace_period=1, reduction_factor=2)
    if brackets is None:
        monkeypatch.delattr(scheduler, "_brackets")
    else:
        monkeypatch.setattr(scheduler, "_brackets", brackets)
    remember_trials(scheduler, HISTORY)
    assert "only with those of this invocation" in the_only(caplog)


# -- one file knows them ------------------------------------------------------------------------------------------------

PRIVATE_PATH = re.compile(r"ray(\.\w+)*[.:](\w+\.)*_(?!_)")


def private_uses(source: str) -> list[str]:
    """Where a module reaches for something of Ray whose name begins with an underscore.

    Seen are paths (imported, or in a text), attributes of what is imported from Ray, and attributes that a subclass of a class
    of Ray reads from `self` without setting them, or overrides.
    """
    tree = ast.parse(source)
    found, rays = [], set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            rays |= {alias.asname or alias.name.split(".")[0] for alias in node.names if alias.name.split(".")[0] == "ray"}
            found += [alias.name for alias in node.names if PRIVATE_PATH.match(alias.name)]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ray":
            rays |= {alias.asname or alias.name for alias in node.names}
            found += [path for alias in node.names if PRIVATE_PATH.match(path := f"{node.module}.{alias.name}")]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and PRIVATE_PATH.match(node.value):
            found.append(node.value)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node).split(".")[0] in rays and is_private(node.attr):
            found.append(ast.unparse(node))
        elif isinstance(node, ast.ClassDef) and any(ast.unparse(base).split(".")[0] in rays for base in node.bases):
            found += [f"{node.name}.{name}" for name in inherited_privates(node)]
    return found


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def inherited_privates(node: ast.ClassDef) -> set[str]:
    methods = {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
    of_self = [n for n in ast.walk(node) if isinstance(n, ast.Attribute) and ast.unparse(n.value) in ("self", "super()")]
    own = {n.attr for n in of_self if isinstance(n.ctx, ast.Store)}
    return {name for name in {n.attr for n in of_self} | methods if is_private(name) and name not in own}


@pytest.mark.parametrize(
    "source",
    [
        "import ray._private.worker",
        "from ray._private import utils",
        "from ray.train.v2._internal.callbacks import datasets",
        "import ray\nray._private.worker._global_node",
        "from ray.tune import Tuner\nTuner._local",
        "from pkgutil import resolve_name\nresolve_name('ray.train.torch:TorchTrainer._hook')",
        "from ray.tune import Callback\nclass A(Callback):\n    def _setup(self): pass",
        "from ray import tune\nclass A(tune.Callback):\n    def f(self): return self._brackets[0]",
    ],
)
def test_private_uses_are_found(source: str) -> None:
    assert private_uses(source)


def test_only_one_file_knows_private_interfaces_of_ray() -> None:
    files = [file for folder in ("workflows", "cosa", "benchmarks") for file in (ROOT / folder).rglob("*.py")]
    uses = {file.name: private_uses(file.read_text(encoding="utf-8")) for file in (*files, ROOT / "cli.py")}
    assert {name for name, found in uses.items() if found} == {"ray_private.py"}
