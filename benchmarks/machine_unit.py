"""Seconds of a fixed workload and the peak of a matrix product: what this machine can do at the moment.

Times of a benchmark divided by one machine unit (MU) hold on other machines and days. The workload: one forward pass of timm's
Swin-B on 8 images of 224 pixels and one of BERT-base on 8 texts of 128 tokens, random weights, float32, no gradients.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import timm
import torch
from transformers import BertConfig, BertModel

GEMM_SIDES = {torch.float32: 2048, torch.bfloat16: 512}  # bfloat16 takes minutes on processors without it


@dataclass(frozen=True)
class Machine:
    """unit: seconds of one machine unit. gflops: the peak of a matrix product by type, in 10^9 operations a second."""

    unit: float
    gflops: dict[str, float]


def median_seconds(work: Callable[[], object], rounds: int) -> float:
    """Median time of a call after one that warms up."""
    work()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


@torch.inference_mode()
def measure(rounds: int = 3) -> Machine:
    """Measure the machine now."""
    torch.manual_seed(0)
    vision = timm.create_model("swin_base_patch4_window7_224", num_classes=0).eval()
    text = BertModel(BertConfig()).eval()
    images, ids = torch.randn(8, 3, 224, 224), torch.randint(1000, 20000, (8, 128))
    unit = median_seconds(lambda: vision.forward_features(images), rounds) + median_seconds(lambda: text(input_ids=ids), rounds)
    peaks = {str(dtype).removeprefix("torch."): _gemm_gflops(dtype, side) for dtype, side in GEMM_SIDES.items()}
    return Machine(unit, peaks)


def _gemm_gflops(dtype: torch.dtype, side: int) -> float:
    a, b = (torch.randn(side, side).to(dtype) for _ in range(2))
    return 2 * side**3 / median_seconds(lambda: a @ b, 5) / 1e9
