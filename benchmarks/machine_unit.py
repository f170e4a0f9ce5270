"""Seconds of a fixed workload and the peak of a matrix product: what this machine can do at the moment.

Times of a benchmark divided by one machine unit (MU) hold on other machines and days. The workload: one forward pass of timm's
Swin-B on 8 images of 224 pixels and one of BERT-base on 8 texts of 128 tokens, random weights, float32, no gradients.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial

import timm
import torch
from transformers import BertConfig, BertModel

from cosa.cpu.linear import product, takes_onednn

GEMM_SIDES = {torch.float32: 2048, torch.bfloat16: 512}  # bfloat16 takes minutes on processors without it


def median_seconds(work: Callable[[], object], rounds: int) -> float:
    """Median time of a call."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


class Machine:
    """Measures the machine whenever it is asked; a noisy one is measured around everything that is timed."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self._vision = timm.create_model("swin_base_patch4_window7_224", num_classes=0).eval()
        self._text = BertModel(BertConfig()).eval()
        self._images, self._ids = torch.randn(8, 3, 224, 224), torch.randint(1000, 20000, (8, 128))
        self.unit(1)  # warms up

    @torch.inference_mode()
    def unit(self, rounds: int = 2) -> float:
        """Seconds of one machine unit now."""
        vision = median_seconds(lambda: self._vision.forward_features(self._images), rounds)
        return vision + median_seconds(lambda: self._text(input_ids=self._ids), rounds)

    @staticmethod
    @torch.inference_mode()
    def gemm_gflops() -> dict[str, float]:
        """Peak of a matrix product now, 10^9 operations a second, by type; of MKL's and oneDNN's products the better."""
        peaks = {}
        for dtype, side in GEMM_SIDES.items():
            a, b = (torch.randn(side, side).to(dtype) for _ in range(2))
            ways = [partial(torch.mm, a, b), *([partial(product, a, b)] if takes_onednn(a, b) else [])]
            for multiply in ways:
                multiply()
            seconds = min(median_seconds(multiply, 5) for multiply in ways)
            peaks[str(dtype).removeprefix("torch.")] = 2 * side**3 / seconds / 1e9
        return peaks
