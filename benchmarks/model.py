"""Time and memory of the model's work, beside a plain formulation of the same work: `make benchmark`.

Every row runs in a process of its own, so that its peak memory is its own. Times are also given in machine units (MU, see
machine_unit.py), measured right before and after each row, and as a share of the GEMM peak: what its matrix products would
take at the speed of one large product. The published code's times (MU, on the machine where it was measured) stand beside ours.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode, register_flop_formula

from benchmarks import plain, work
from benchmarks.machine_unit import Machine
from cosa.cpu.linear import PRODUCT
from cosa.draws import Draws
from cosa.evaluation.feature_store import FeatureStore
from cosa.evaluation.video_ranking import match_probabilities
from cosa.generation import beam_search, generate, greedy, question_prompt
from cosa.model import COSA
from cosa.model_config import ModelConfig
from cosa.objectives.objective_settings import ObjectiveSettings
from cosa.private_torch import private
from cosa.training.loop import seed_step

ROOT = Path(__file__).resolve().parents[1]
GALLERY, RERANK, FRAMES = 24, 10, 4
CAPTION_TOKENS, ANSWER_TOKENS, BEAMS = 20, 10, 3
PRETRAINING = ("itc", "itm", "citc", "citm", "cmlm", "ccap")


@dataclass(frozen=True)
class Row:
    """A piece of work. published, floor: MU of the published code and what we must reach; floor_bfloat16 under autocast."""

    name: str
    title: str
    published: float
    floor: float
    floor_bfloat16: float | None = None


ROWS = (
    Row("pretraining", "pretraining step, 1 frame, 4 concatenated, six losses", 8.8, 2.9, 1.9),
    Row("retrieval", "retrieval step, 4 frames", 5.1, 4.1, 2.7),
    Row("captioning", "captioning step, 4 frames", 4.3, 3.7, 2.5),
    Row("answering", "question answering step, 4 frames", 4.4, 3.7, 2.5),
    Row("reranking", "ITM re-ranking, 24 x 24, top 10, 4 frames, features given", 8.4, 1.9, 1.2),
    Row("captions", "captions of 4 clips, 4 frames, beam 3, 20 tokens, features given", 4.6, 0.45),
    Row("answers", "answers for 4 clips, 4 frames, greedy, 10 tokens, features given", 1.77, 0.3),
)
STEPS: dict[str, dict[str, Any]] = {
    "pretraining": {"objectives": PRETRAINING, "frames": 1, "concatenate": 4},
    "retrieval": {"objectives": ("itc", "itm"), "frames": FRAMES, "concatenate": 1},
    "captioning": {"objectives": ("cap",), "frames": FRAMES, "concatenate": 1},
    "answering": {"objectives": ("qa",), "frames": FRAMES, "concatenate": 1},
}


@dataclass(frozen=True)
class Timed:
    """seconds: median. gflops: of the matrix products, as counted. gibibytes: peak memory of the process up to here."""

    seconds: float
    gflops: float
    gibibytes: float


def model_config(size: str) -> ModelConfig:
    """`base`: Swin-B and BERT-base. `demo`: the quickstart's model."""
    if size == "base":
        return ModelConfig()
    spec = yaml.safe_load((ROOT / "experiments" / "quickstart.yaml").read_text(encoding="utf-8"))
    return ModelConfig.model_validate(spec["model"])


def _flops_of_linear(x_shape: Sequence[int], weight_shape: Sequence[int], *_: object, **__: object) -> int:
    return 2 * prod(x_shape) * weight_shape[0]


if (product := private(PRODUCT)) is not None:
    register_flop_formula(product)(_flops_of_linear)


def timed(call: Callable[[], object], rounds: int) -> Timed:
    """Median of some calls after one that warms up, then one in which operations are counted.

    Without rounds a single call is counted and timed.
    """
    if rounds:
        call()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    start = time.perf_counter()
    with FlopCounterMode(display=False) as counter:
        call()
    seconds = seconds or [time.perf_counter() - start]
    return Timed(float(np.median(seconds)), counter.get_total_flops() / 1e9, peak)


# -- the work ---------------------------------------------------------------------------------------------------------


def ours_and_plain(name: str, config: ModelConfig, precision: str) -> tuple[Callable[[], object], Callable[[], object]]:
    """The work of a row as we do it, and as the plain formulation does."""
    if name in STEPS:
        return _training(config, precision, **STEPS[name])
    torch.manual_seed(0)
    model = COSA(config.model_copy(update={"frame_positions": FRAMES})).eval()
    made = {"reranking": _reranking, "captions": _captions, "answers": _answers}[name](model)
    autocast = torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16")

    def without_gradients(call: Callable[[], object]) -> Callable[[], object]:
        def run() -> object:
            with torch.no_grad(), autocast:
                return call()

        return run

    return without_gradients(made[0]), without_gradients(made[1])


def _training(config: ModelConfig, precision: str, **options: Any) -> tuple[Callable[[], object], Callable[[], object]]:
    training = work.trainer(config, steps=100, precision=precision, **options)
    step = work.stepper(training)
    model = training.losses.model

    def plain_step() -> None:
        losses = plain.PlainLosses(model, ObjectiveSettings(), work.MAX_TEXT_TOKENS, work.MAX_ANSWER_TOKENS)
        batch = training.batches[0]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
            total = sum(losses(batch, Draws(*seed_step(0, 0, training.device))).values())
        total.backward()  # type: ignore[union-attr]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        training.optimizer.step()
        training.optimizer.zero_grad()

    return step, plain_step


def _features(model: COSA, videos: int) -> torch.Tensor:
    """(videos, frames, tokens, hidden) noise in the place of projected features."""
    side = model.config.vision.resolution // 32 if model.config.vision.embed_dim is None else 4
    shape = (videos, FRAMES, side * side, model.config.text.hidden_size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def _video_input(model: COSA, features: torch.Tensor) -> torch.Tensor:
    return (features + model.frame_embeddings(FRAMES)[:, None]).flatten(1, 2)


def _reranking(model: COSA) -> tuple[Callable[[], object], Callable[[], object]]:
    ids = model.tokenizer.batch(work.captions(GALLERY), work.MAX_TEXT_TOKENS)
    candidates = np.argsort(np.random.default_rng(0).random((GALLERY, GALLERY)), axis=1)[:, :RERANK]
    features = _features(model, GALLERY)
    store = FeatureStore(GALLERY)
    store.add(features)
    pairs = [(text, int(video)) for text, row in enumerate(candidates) for video in row]
    limit = plain.padded(ids, work.MAX_TEXT_TOKENS)
    return (
        lambda: match_probabilities(model, ids, store, np.arange(GALLERY), candidates, torch.device("cpu")),
        lambda: plain.match_scores(model, limit, _video_input(model, features), pairs, 64),
    )


def _captions(model: COSA) -> tuple[Callable[[], object], Callable[[], object]]:
    _never_ends(model)
    video_input = _video_input(model, _features(model, work.BATCH))

    def ours() -> object:
        memory = model.multimodal.video_memory(video_input)
        return generate(model, memory, max_tokens=CAPTION_TOKENS, beam_size=BEAMS)

    def plainly() -> object:
        decoder: Any = plain.PlainDecoder(model, video_input, BEAMS)
        return beam_search(model, decoder, CAPTION_TOKENS, BEAMS, 1.0, 0)

    return ours, plainly


def _answers(model: COSA) -> tuple[Callable[[], object], Callable[[], object]]:
    _never_ends(model)
    video_input = _video_input(model, _features(model, work.BATCH))
    questions = [sample.question for sample in work.samples(work.BATCH)]
    ids = model.tokenizer.batch(questions, work.MAX_TEXT_TOKENS)

    def ours() -> object:
        memory = model.multimodal.video_memory(video_input)
        prompt = question_prompt(model, memory, ids, work.MAX_TEXT_TOKENS)
        return generate(model, memory, max_tokens=ANSWER_TOKENS, prompt=prompt)

    def plainly() -> object:
        decoder: Any = plain.PlainDecoder(model, video_input, 1, plain.padded(ids, work.MAX_TEXT_TOKENS))
        return greedy(model, decoder, ANSWER_TOKENS)

    return ours, plainly


def _never_ends(model: COSA) -> None:
    """Random weights must not end a text early: all steps are timed."""
    model.multimodal.cls.predictions.bias.data[model.tokenizer.end_id] = -1e4


# -- processes --------------------------------------------------------------------------------------------------------


def run_row(name: str, size: str, precision: str, rounds: int, with_plain: bool) -> dict[str, Any]:
    """In a process of its own: ours first, so that the peak of memory is ours."""
    torch.set_num_threads(2)
    ours, plainly = ours_and_plain(name, model_config(size), precision)
    found = {"ours": asdict(timed(ours, rounds))}
    if with_plain:
        found["plain"] = asdict(timed(plainly, 0))  # it takes long, and what it lacks is no warming up
    return found


def measured(
    machine: Machine, before: float, row: Row, size: str, precision: str, rounds: int, with_plain: bool
) -> dict[str, Any]:
    """A row in a process, between two measurements of the machine; `before` is the first."""
    options = ["--row", row.name, "--size", size, "--precision", precision, "--rounds", str(rounds)]
    command = [sys.executable, "-m", "benchmarks.model", *options, *([] if with_plain else ["--without-plain"])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise SystemExit(f"{row.name} failed with code {done.returncode} (-9: out of memory):\n{done.stderr}")
    peak, after = machine.gemm_gflops(), machine.unit()
    unit = (before + after) / 2
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    for result in found.values():
        result["mu"] = result["seconds"] / unit
        result["share_of_peak"] = result["gflops"] / result["seconds"] / peak[precision]
    return {"row": row.name, "size": size, "precision": precision, "unit": unit, "after": after, "gemm_gflops": peak, **found}


def show(console: Console, results: Sequence[dict[str, Any]]) -> None:
    """One table a size and precision."""
    rows = {row.name: row for row in ROWS}
    for size, precision in dict.fromkeys((r["size"], r["precision"]) for r in results):
        table = Table(title=f"{size} size, {precision}", box=None, title_justify="left", header_style="dim")
        for column in ("work", "seconds", "MU", "must reach", "published", "GEMM peak", "GiB", "plain", "plain / ours"):
            table.add_column(column, justify="left" if column == "work" else "right")
        for result in (r for r in results if (r["size"], r["precision"]) == (size, precision)):
            row, ours, other = rows[result["row"]], result["ours"], result.get("plain")
            floor = row.floor if precision == "float32" else row.floor_bfloat16
            base = size == "base"
            table.add_row(
                row.title, f"{ours['seconds']:.2f}", f"{ours['mu']:.2f}", f"{floor}" if base and floor else "",
                f"{row.published}" if base else "", f"{100 * ours['share_of_peak']:.0f} %", f"{ours['gibibytes']:.1f}",
                f"{other['seconds']:.2f}" if other else "", f"{other['seconds'] / ours['seconds']:.1f}" if other else "",
            )  # fmt: skip
        console.print(table)
        console.print()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.model", description=__doc__)
    parser.add_argument("--row", choices=[row.name for row in ROWS], help="one row, in this process; prints JSON")
    parser.add_argument("--rows", nargs="*", choices=[row.name for row in ROWS], help="only these")
    parser.add_argument("--size", choices=["base", "demo"], help="only this size")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], help="only this; left out: what the machine multiplies")
    parser.add_argument("--rounds", type=int, default=2, help="timed calls a row")
    parser.add_argument("--without-plain", action="store_true", help="leave the plain formulation out")
    parser.add_argument("--json", type=Path, help="also write the figures to a file")
    options = parser.parse_args()
    if options.row:
        size, precision = options.size or "base", options.precision or "float32"
        print(json.dumps(run_row(options.row, size, precision, options.rounds, not options.without_plain)))
        return
    torch.set_num_threads(2)
    console, machine = Console(width=160, highlight=False), Machine()
    peak = machine.gemm_gflops()
    console.print(f"machine unit {machine.unit():.2f} s, GEMM peak {peak['float32']:.0f} GFLOP/s in float32", end=", ")
    console.print(f"{peak['bfloat16']:.0f} in bfloat16; one process a row\n")
    precisions = [options.precision] if options.precision else ["float32"]
    if not options.precision and peak["bfloat16"] > peak["float32"] / 2:
        precisions.append("bfloat16")
    elif not options.precision:
        console.print("bfloat16 is left out: this processor has no instructions for it (--precision bfloat16 runs it anyway)\n")
    results: list[dict[str, Any]] = []
    for size in [options.size] if options.size else ["base", "demo"]:
        for precision in precisions if size == "base" or options.precision else ["float32"]:
            for row in ROWS:
                if not options.rows or row.name in options.rows:
                    with_plain = not options.without_plain and precision == "float32"
                    console.print(f"[dim]{size}, {precision}: {row.title}[/]")
                    before = results[-1]["after"] if results else machine.unit()
                    results.append(measured(machine, before, row, size, precision, options.rounds, with_plain))
        show(console, [r for r in results if r["size"] == size])
    if options.json:
        options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
        console.print(f"figures: {options.json}")


if __name__ == "__main__":
    main()
