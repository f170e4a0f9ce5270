"""Several workers with real collectives: losses, negatives, local gradients and their average."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from cosa.behaviour import PUBLISHED
from cosa.distributed import gather_constant
from cosa.model import COSA
from cosa.objectives.encoded_batch import EncodedBatch
from tests.golden import golden, steps
from tests.golden.golden import ENCODERS, Encoder
from tests.golden.language import recorded_arithmetic
from tests.golden.recorded import RecordedDraws

pytestmark = [pytest.mark.golden, pytest.mark.slow]
CASES = {"itc_only": ("itc",), "ret": ("itc", "itm"), "all_pixels": None, "all_features": None}
EVERYTHING = "ret_cret_ccap_cmlm"


def recorded(encoder: Encoder, rank: int) -> dict[str, Any]:
    return golden.load(f"two_rank/{encoder}_rank{rank}.pt")


def ranks_of(encoder: Encoder) -> int:
    return len(list((golden.FOLDER / "two_rank").glob(f"{encoder}_rank*.pt")))


def step_of(case: str, expected: dict[str, Any], rank: int, model: COSA) -> tuple[Any, Any, Any]:
    """Batch, draws and behaviour of one worker's step."""
    rows, found = expected["batch_per_rank"], expected[case]
    videos = list(range(rank * rows, (rank + 1) * rows))
    objectives = CASES[case] or steps.objectives_of(EVERYTHING)
    captions = golden.config()["captions"][: rows * expected["world_size"]]
    batch = steps.batch_of(model, objectives, captions, videos, found.get("samples", []))
    if "multinomial" in found:
        draws = steps.draws_of(found, rows)
    else:
        draws = RecordedDraws(negatives=[found["neg_video_idx"], found["neg_text_idx"]] if "neg_video_idx" in found else [])
    return batch, draws, steps.behaviour_of(case != "all_features")


def worker(rank: int, encoder: Encoder, folder: str, ranks: int) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=ranks)
    found: dict[str, Any] = {}
    expected = recorded(encoder, rank)
    for case in CASES:
        model = golden.fresh_model(encoder)
        batch, draws, behaviour = step_of(case, expected, rank, model)
        with recorded_arithmetic():
            losses = steps.step_losses(model, behaviour)(batch, draws)
        steps.total_of(losses).backward()
        result: dict[str, Any] = {
            "losses": {name: float(value.detach()) for name, value in losses.items()},
            "local": gradients(model),
            "average": averaged(rank, case, encoder),
        }
        if batch.concatenated_ids is not None:
            result["concatenated_ids"] = batch.concatenated_ids
            with torch.no_grad():
                frames = gather_constant(batch.frames)[batch.members].flatten(1, 2)
                result["frame_means"] = model.encode_frames(frames).mean((2, 3))
        found[case] = result
    found["features"] = features(rank, encoder)
    torch.save(found, f"{folder}/{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def gradients(model: COSA) -> dict[str, Any]:
    return {name: parameter.grad for name, parameter in steps.by_published_name(model).items()}


def averaged(rank: int, case: str, encoder: Encoder) -> dict[str, Any]:
    """Gradients as DDP leaves them."""
    model = golden.fresh_model(encoder)
    batch, draws, behaviour = step_of(case, recorded(encoder, rank), rank, model)
    parallel = DistributedDataParallel(steps.step_losses(model, behaviour), find_unused_parameters=True)
    steps.total_of(parallel(batch, draws)).backward()
    return gradients(model)


@torch.no_grad()
def features(rank: int, encoder: Encoder) -> dict[str, Any]:
    model = golden.model_of(encoder)
    batch, draws, _ = step_of("ret", recorded(encoder, rank), rank, model)
    one = EncodedBatch.encode(model, batch.ids, batch.frames, batch.identities, PUBLISHED)
    return {"text": one.text_features, "video": one.video_features, "matching": steps.matching_logits(one, draws)}


@pytest.fixture(scope="module", params=ENCODERS)
def outcome(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Encoder, list[dict[str, Any]]]:
    encoder, folder = request.param, tmp_path_factory.mktemp("ranks")
    ranks = ranks_of(encoder)
    assert ranks == recorded(encoder, 0)["world_size"] > 1
    mp.spawn(worker, (encoder, str(folder), ranks), nprocs=ranks)
    return encoder, [torch.load(Path(folder) / f"{rank}.pt", weights_only=True) for rank in range(ranks)]


@pytest.mark.parametrize("case", CASES)
def test_losses(outcome: tuple[Encoder, list[dict[str, Any]]], case: str) -> None:
    for rank, found in enumerate(outcome[1]):
        expected = recorded(outcome[0], rank)[case]
        losses = expected["losses"] if "losses" in expected else {"itc_loss_origin": expected["loss"]}
        steps.same_losses({name: torch.tensor(v, dtype=torch.float64) for name, v in found[case]["losses"].items()}, losses)
        if "concat_input_ids" in expected:
            ids = expected["concat_input_ids"]
            assert torch.equal(golden.padded(found[case]["concatenated_ids"], ids.shape[1]), ids)
            assert torch.equal((ids != 0).long(), expected["concat_attention_mask"])
            golden.close(found[case]["frame_means"], expected["concat_video_output_frame_means"])


@pytest.mark.parametrize("case", CASES)
def test_local_gradients(outcome: tuple[Encoder, list[dict[str, Any]]], case: str) -> None:
    for rank, found in enumerate(outcome[1]):
        steps.same_gradients(found[case]["local"], recorded(outcome[0], rank)[case]["grads_local"])


@pytest.mark.parametrize("case", CASES)
def test_averaged_gradients(outcome: tuple[Encoder, list[dict[str, Any]]], case: str) -> None:
    for rank, found in enumerate(outcome[1]):
        steps.same_gradients(found[case]["average"], recorded(outcome[0], rank)[case]["grads_average"])


def test_features_and_logits(outcome: tuple[Encoder, list[dict[str, Any]]]) -> None:
    encoder, ranks = outcome
    for rank, found in enumerate(ranks):
        expected = recorded(encoder, rank)
        golden.close(found["features"]["text"], expected["itc_only"]["feat_t"])
        golden.close(found["features"]["video"], expected["itc_only"]["feat_v"])
        golden.close(found["features"]["matching"], expected["ret"]["itm_logits"])
