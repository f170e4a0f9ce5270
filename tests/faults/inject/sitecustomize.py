"""Makes the losses of one step NaN, once, in a process that is started with this folder on PYTHONPATH: as a failing GPU would.

COSA_TEST_NAN=CALL:FILE: at which call of the losses, and a file that says that it has happened.
"""

import importlib.abc
import importlib.machinery
import os
import sys
from pathlib import Path

TARGET = "cosa.training.losses"


class _Patcher(importlib.abc.MetaPathFinder):
    """Changes the module when something imports it: nothing is imported for it before."""

    def find_spec(self, name, path=None, target=None):
        if name != TARGET:
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        loader = spec.loader
        original = loader.exec_module

        def exec_module(module):
            original(module)
            _break(module.StepLosses)

        loader.exec_module = exec_module
        return spec


def _break(losses) -> None:
    call, _, marker = os.environ["COSA_TEST_NAN"].partition(":")
    forward, calls = losses.forward, 0

    def broken(self, *arguments, **keywords):
        nonlocal calls
        calls += 1
        found = forward(self, *arguments, **keywords)
        if calls == int(call):
            try:
                Path(marker).touch(exist_ok=False)  # of several workers only the first
            except FileExistsError:
                return found
            return {name: value * float("nan") for name, value in found.items()}
        return found

    losses.forward = broken


if "COSA_TEST_NAN" in os.environ:
    sys.meta_path.insert(0, _Patcher())
