"""Faults of hardware, once each, in processes that are started with this folder on PYTHONPATH.

COSA_TEST_NAN=CALL:FILE: the losses of this call are NaN, as a failing GPU would make them.
COSA_TEST_WRONG_BYTE=CALL:FILE: the checkpoint of this call is written with a wrong byte, as a failing disk would.
The file says that it has happened.
"""

import importlib.abc
import importlib.machinery
import os
import sys
from pathlib import Path


class _Patcher(importlib.abc.MetaPathFinder):
    """Changes a module when something imports it: nothing is imported for it before."""

    def __init__(self, target, change):
        self.target, self.change = target, change

    def find_spec(self, name, path=None, target=None):
        if name != self.target:
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        loader = spec.loader
        original = loader.exec_module

        def exec_module(module):
            original(module)
            self.change(module)

        loader.exec_module = exec_module
        return spec


class _Once:
    """True at one call; of several processes only in the first."""

    def __init__(self, setting):
        call, _, marker = setting.partition(":")
        self.left, self.marker = int(call), Path(marker)

    def __call__(self):
        self.left -= 1
        if self.left != 0:
            return False
        try:
            self.marker.touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


def _make_losses_nan(module):
    now, forward = _Once(os.environ["COSA_TEST_NAN"]), module.StepLosses.forward

    def broken(self, *arguments, **keywords):
        found = forward(self, *arguments, **keywords)
        return {name: value * float("nan") for name, value in found.items()} if now() else found

    module.StepLosses.forward = broken


def _write_a_wrong_byte(module):
    now, put = _Once(os.environ["COSA_TEST_WRONG_BYTE"]), module.RunFolder.put

    def broken(self, folder, *arguments):
        if now():
            state = folder / "training_state.pt"
            content = bytearray(state.read_bytes())
            content[len(content) // 2] ^= 1
            state.write_bytes(content)
        return put(self, folder, *arguments)

    module.RunFolder.put = broken


for _variable, _target, _change in (
    ("COSA_TEST_NAN", "cosa.training.losses", _make_losses_nan),
    ("COSA_TEST_WRONG_BYTE", "workflows.execution.run_folder", _write_a_wrong_byte),
):
    if _variable in os.environ:
        sys.meta_path.insert(0, _Patcher(_target, _change))
