"""Charts of what was measured; those of nothing are left out."""

import warnings
from pathlib import Path

from PIL import Image

from workflows.execution.plots import plot_curves
from workflows.execution.progress import Record


def test_what_has_no_metric_in_percent_has_no_second_chart(tmp_path: Path) -> None:
    train = [Record("train", step, 2, {"loss": 1.0 / step, "itc_loss": 0.5, "cap_loss": 0.5}, 0.0) for step in (1, 2)]
    widths = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number, metric in enumerate(("mean_loss", "cider")):
            plot_curves([*train, Record("evaluation", 2, 2, {metric: 1.0}, 0.0)], tmp_path / f"{number}.png", "stage")
            with Image.open(tmp_path / f"{number}.png") as drawn:
                widths.append(drawn.width)
    assert widths[0] < widths[1]
