"""Two processes: data parallelism equals one process with the global batch."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from cosa.behaviour import DEFAULT
from cosa.data.annotations import CaptionEntry, QuestionEntry
from cosa.data.batches import Corpus, TrainingBatches
from cosa.data.sample import Sample
from cosa.distributed import gather, gather_objects, mean_of_workers, rank, world_size
from cosa.objectives import matching
from cosa.objectives.all_objectives import batch_needs
from cosa.objectives.encoded_batch import EncodedBatch
from cosa.objectives.objective_settings import ObjectiveSettings
from cosa.tasks.all_tasks import TASKS, EvaluationSettings
from cosa.training.freezing import freeze_unused
from cosa.training.losses import StepLosses
from tests.support import CAPTIONS, Family, gradients, random_clips, tiny_model

WORKERS = 2
CPU = torch.device("cpu")
ENTRIES = [CaptionEntry(f"v{i}", (CAPTIONS[i], f"and {CAPTIONS[-i]}"), i) for i in range(5)]
QUESTIONS = [QuestionEntry(f"v{i % 3}", CAPTIONS[i], ("a dog",), None, i) for i in range(7)]
REFERENCES = {entry.video_id: entry.captions for entry in ENTRIES}


def test_a_single_process_gathers_itself() -> None:
    local = torch.randn(2, 3)
    assert gather(local) is local
    assert (world_size(), rank()) == (1, 0)
    assert gather_objects("a") == ["a"]
    assert mean_of_workers({"loss": 2.0}) == {"loss": 2.0}


def negatives_of_global_rows(batch: EncodedBatch, rows: int, generator: Any) -> tuple[Tensor, Tensor]:
    """In place of random ones: the next video and the one after of the global batch, for this worker's rows."""
    own = torch.arange(rows) + rank() * len(batch.ids)
    total = len(batch.all_identities)
    return (own + 1) % total, (own + 2) % total


def step(family: Family, objectives: tuple[str, ...]) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Losses and averaged gradients of one step on this worker's part of a batch of 8."""
    model = tiny_model(family, dropout=0.0)
    samples = [Sample(f"v{i}", caption=caption) for i, caption in enumerate(CAPTIONS)]
    corpus = Corpus("demo", samples, random_clips, objectives, 1, 8, batch_needs(objectives))
    batch = TrainingBatches(
        [corpus], model.tokenizer, seed=1, concatenate=3, max_text_tokens=12, rank=rank(), workers=world_size()
    )[0]
    freeze_unused(model, objectives)
    losses = StepLosses(model, ObjectiveSettings())
    module = DistributedDataParallel(losses, forward_sync_buffers=False) if world_size() > 1 else losses
    found = module(batch, torch.Generator().manual_seed(0))
    torch.stack(list(found.values())).sum().backward()
    return mean_of_workers({name: float(loss.detach()) for name, loss in found.items()}), gradients(model)


def evaluations() -> list[Any]:
    model = tiny_model()
    settings = EvaluationSettings(
        eval_batch_size=2, rerank=3, video_to_text=True, caption_metrics=("rouge_l",), max_caption_tokens=4,
        max_text_tokens=16, max_answer_tokens=4,
    )  # fmt: skip
    of_tasks = (
        ("retrieval", ENTRIES),
        ("retrieval", ENTRIES[:1]),  # one worker has nothing to do
        ("captioning", REFERENCES),
        ("question_answering", QUESTIONS),
    )
    results = [
        TASKS[name].evaluate(model, references, random_clips, settings, device=CPU, behaviour=DEFAULT)
        for name, references in of_tasks
    ]
    return [(result.metrics, result.predictions) for result in results]


CASES: list[tuple[Family, tuple[str, ...]]] = [
    ("swin", ("itc",)), ("swin", ("itm", "itc", "citc")), ("clip", ("itc", "citc")),
]  # fmt: skip


def worker(number: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=number, world_size=WORKERS)
    matching.draw_negatives = negatives_of_global_rows
    local = torch.arange(6.0).view(3, 2) + 10 * number
    found = {
        "steps": [step(family, objectives) for family, objectives in CASES],
        "gathered": [gather(local), gather(local.t()), gather(local > 3)],
        "evaluations": evaluations(),
    }
    torch.save(found, f"{folder}/{number}.pt")
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("workers")
    mp.spawn(worker, (str(folder),), nprocs=WORKERS)
    return [torch.load(Path(folder) / f"{number}.pt", weights_only=True) for number in range(WORKERS)]


@pytest.mark.slow
@pytest.mark.parametrize("case", range(len(CASES)))
def test_losses_and_gradients_are_those_of_the_global_batch(
    found: list[dict[str, Any]], case: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "draw_negatives", negatives_of_global_rows)
    losses, expected = step(*CASES[case])
    for one in found:
        assert one["steps"][case][0] == pytest.approx(losses, rel=1e-5)
        got = one["steps"][case][1]
        assert got.keys() == expected.keys()
        for name, gradient in expected.items():
            scale = float(gradient.abs().max())
            torch.testing.assert_close(got[name], gradient, rtol=1e-3, atol=1e-4 * scale + 1e-6)


@pytest.mark.slow
def test_gathered_rows_stand_in_worker_order(found: list[dict[str, Any]]) -> None:
    parts = [torch.arange(6.0).view(3, 2) + 10 * number for number in range(WORKERS)]
    expected = [torch.cat(parts), torch.cat([part.t() for part in parts]), torch.cat([part > 3 for part in parts])]
    for one in found:
        for got, wanted in zip(one["gathered"], expected, strict=True):
            assert torch.equal(got, wanted)


@pytest.mark.slow
def test_evaluation_split_over_workers_gives_all_the_same_result(found: list[dict[str, Any]]) -> None:
    for one in found:
        for (metrics, predictions), (expected, rows) in zip(one["evaluations"], evaluations(), strict=True):
            assert metrics == pytest.approx(expected)
            assert predictions == rows
