"""Lets MLflow serve a checkpoint: `mlflow models serve -m CHECKPOINT --env-manager local` answers over HTTP.

A checkpoint's folder is an MLflow model by itself (a pyfunc), by the file MLmodel in it, so that its weights are stored once.
A row of a request has `media`, the content of a video or picture in base64, or `text`, or both; the parameter `task` says what
is asked for. Paths are not taken: who may ask a server must not read its files.
"""

from __future__ import annotations

import base64
import binascii
import json
import platform
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from cosa.errors import DataError, UserError
from cosa.table import Table
from cosa.tasks.all_tasks import TASKS

if TYPE_CHECKING:
    import pandas as pd

    from cosa.inference.predictor import Predictor

MLMODEL = "MLmodel"
Row = Mapping[str, Any]  # 'media': a path, or None. 'text': a text, or None.


def _captions(model: Predictor, rows: Sequence[Row], options: Mapping[str, Any]) -> list[dict[str, Any]]:
    texts = model.caption([_needed(row, "media") for row in rows], beam_size=options.get("beam_size") or None)
    return [{"text": text} for text in texts]


def _answers(model: Predictor, rows: Sequence[Row], _: Mapping[str, Any]) -> list[dict[str, Any]]:
    texts = model.answer([_needed(row, "media") for row in rows], [_needed(row, "text") for row in rows])
    return [{"text": text} for text in texts]


def _vectors(model: Predictor, rows: Sequence[Row], _: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Vectors of media, and of the texts of rows without media."""
    places: dict[str, list[int]] = {"media": [], "text": []}
    for place, row in enumerate(rows):
        places["media" if row["media"] is not None else "text"].append(place)
    found: list[dict[str, Any]] = [{} for _ in rows]
    for what, embed in (("media", model.embed_video), ("text", model.embed_text)):
        vectors = embed([_needed(rows[place], what) for place in places[what]])
        for place, vector in zip(places[what], vectors, strict=True):
            found[place] = {"vector": vector.tolist()}
    return found


def _matches(model: Predictor, rows: Sequence[Row], _: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"probability": float(model.match(_needed(row, "text"), _needed(row, "media")))} for row in rows]


SERVED: Table[Callable[[Predictor, Sequence[Row], Mapping[str, Any]], list[dict[str, Any]]]] = Table(
    "served task", {"caption": _captions, "answer": _answers, "embed": _vectors, "match": _matches}
)


def write_mlmodel(checkpoint: Path, settings: Mapping[str, Any]) -> None:
    """Write the file that makes a checkpoint's folder a model of MLflow. settings: those beside its weights."""
    origin = settings["origin"]
    known = [TASKS[task].served_as for task in origin["tasks"] if task in TASKS]
    optional = {"required": False}
    inputs = [{"type": "string", "name": name, **optional} for name in ("media", "text")]
    outputs = [
        {"type": "string", "name": "text", **optional},
        {"type": "array", "items": {"type": "double"}, "name": "vector", **optional},
        {"type": "double", "name": "probability", **optional},
    ]
    params = [
        {"name": "task", "type": "string", "default": known[-1] if known else "embed", "shape": None},
        {"name": "beam_size", "type": "long", "default": 0, "shape": None},
    ]
    content = {
        "flavors": {"python_function": {"loader_module": __name__, "data": ".", "python_version": platform.python_version()}},
        "mlflow_version": origin["versions"].get("mlflow", ""),
        "model_uuid": origin["fingerprint"],
        "signature": {"inputs": json.dumps(inputs), "outputs": json.dumps(outputs), "params": json.dumps(params)},
        "utc_time_created": origin["started"],
    }
    (checkpoint / MLMODEL).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _load_pyfunc(folder: str) -> ServedModel:
    """Load a checkpoint, as MLflow asks for it."""
    from cosa.inference.predictor import load

    return ServedModel(load(folder))


class ServedModel:
    """What MLflow calls for each request."""

    def __init__(self, model: Predictor):
        self.model = model

    def predict(self, rows: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Answer each row; the columns of the answer are those that the task has.

        Raises:
            MlflowException: the request is wrong; the server answers 400.
        """
        import pandas as pd
        from mlflow.exceptions import MlflowException
        from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

        options = dict(params or {})
        task = str(options.get("task", "embed"))
        try:
            if task not in SERVED:
                raise UserError(f"task {task!r}; expected one of {', '.join(SERVED)}")
            with ExitStack() as stack:
                asked = [self._row(row, stack) for row in rows.to_dict("records")]
                return pd.DataFrame(SERVED[task](self.model, asked, options))
        except UserError as error:
            raise MlflowException(str(error), error_code=INVALID_PARAMETER_VALUE) from error

    def _row(self, row: Mapping[Any, Any], stack: ExitStack) -> Row:
        media, text = (row.get(name) if isinstance(row.get(name), str) else None for name in ("media", "text"))
        return {"media": _file_of(media, stack) if media is not None else None, "text": text}


def _needed(row: Row, what: str) -> Any:
    if row[what] is None:
        raise UserError(f"a row lacks {what!r}, which this task needs")
    return row[what]


def _file_of(content: str, stack: ExitStack) -> Path:
    """Write base64, with or without the beginning of a data URI, to a file that is gone after the request."""
    try:
        decoded = base64.b64decode(content.rpartition("base64,")[2], validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError("'media' is not base64; send the content of a video or picture") from error
    file = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cosa-served-")), "media")
    file.write_bytes(decoded)
    return file
