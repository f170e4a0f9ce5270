"""The one exception for mistakes that a user can mend; everything else is a defect of ours and keeps its traceback."""


class UserError(Exception):
    """A mistake in a spec, a file or the environment, reported in one clear message.

    The message names the file, line and field where there is one, what was expected and what to do next. The command
    line prints it without a traceback and exits with `exit_code`.
    """

    exit_code = 1


class DataError(UserError):
    """Annotations or media that cannot be used as they are."""


def last_line(error: BaseException) -> str:
    """Return the last line of an error that is not blank, because Ray puts tracebacks before it; empty if there is none."""
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), "")
