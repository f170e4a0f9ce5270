"""Metrics that wait in the queue travel together: one call sends up to 1000 points instead of one record."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from workflows.records.mlflow_store import METRICS_PER_CALL, Operation, RecordError, Sender, ServerAwayError, first_line
from workflows.spec.secrets import mask_passwords


def travelling_together(pending: Iterable[Operation]) -> list[Operation]:
    """Choose the first operation and, if it holds metrics, later metrics of its run, as many as fit into one call.

    Metrics of other runs are passed over (trials side by side), since order does not count between runs. Anything else ends
    the search: what follows the end of a run must not go before it.
    """
    chosen: list[Operation] = []
    points = 0
    for operation in pending:
        if chosen and (operation["do"] != "metrics" or chosen[0]["do"] != "metrics"):
            break
        if chosen and operation["run"] != chosen[0]["run"]:
            continue
        points += len(operation.get("points", ()))
        if chosen and points > METRICS_PER_CALL:
            break
        chosen.append(operation)
    return chosen


def remove_from(pending: deque[Operation], sent: Sequence[Operation]) -> None:
    """Take operations that are sent out of a queue, near whose beginning they are."""
    left = {id(operation) for operation in sent}
    passed_over = []
    while left:
        operation = pending.popleft()
        if id(operation) in left:
            left.remove(id(operation))
        else:
            passed_over.append(operation)
    pending.extendleft(reversed(passed_over))


def deliver(sender: Sender, operations: Sequence[Operation], report: Callable[[str], None]) -> None:
    """Send operations that travel together. What MLflow refuses is reported and dropped; the operations beside it are sent.

    Sending metrics twice does no harm: MLflow stores equal points once.

    Raises:
        ServerAwayError: try all of them again later.
    """
    first, *more = operations
    together = {**first, "points": [point for o in operations for point in o["points"]]} if more else first
    try:
        sender.send(together)
    except ServerAwayError:
        raise
    except RecordError as problem:
        report(str(problem))
    except Exception as error:
        # A record that MLflow refuses must neither stop training nor hold up the records behind it.
        if more:
            for operation in operations:
                deliver(sender, [operation], report)
        else:
            report(mask_passwords(f"MLflow refused to record {first['do']}: {first_line(error)}"))
