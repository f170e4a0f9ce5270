import pytest
import torch

from cosa.data.batches import Batch
from cosa.draws import Draws
from cosa.objectives.all_objectives import OBJECTIVES, PRETRAINING
from cosa.objectives.objective_settings import ObjectiveSettings
from cosa.training.losses import StepLosses
from tests.support import CAPTIONS, encoded, gradients, random_frames, tiny_model

SETTINGS = ObjectiveSettings()
ALL = ("itc", "itm", "citc", "citm", "cmlm", "ccap")


def batch_of(objectives: tuple[str, ...], rows: int = 6) -> Batch:
    tokenizer = tiny_model().tokenizer
    members = torch.stack([torch.arange(rows), (torch.arange(rows) + 1) % rows], dim=1)
    joined = [f"{CAPTIONS[a]} {CAPTIONS[b]}" for a, b in members.tolist()]
    return Batch(
        corpus="demo",
        objectives=objectives,
        media_ids=tuple(map(str, range(rows))),
        frames=random_frames(rows, 2),
        identities=torch.arange(rows),
        ids=tokenizer.batch(CAPTIONS[:rows], 20),
        members=members,
        concatenated_ids=tokenizer.batch(joined, 40),
    )


def draws() -> Draws:
    return Draws(torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", sorted(PRETRAINING))
def test_every_objective_is_taken_on_its_own_kind_of_sample(name: str) -> None:
    model = tiny_model()
    batch = batch_of((name,))
    losses = StepLosses(model, SETTINGS)(batch, draws())
    single = encoded(model)
    assert batch.members is not None
    assert batch.concatenated_ids is not None
    joined = single.concatenated(batch.concatenated_ids, batch.members)
    objective = OBJECTIVES[name]
    expected = objective.pending(joined if objective.concatenated else single, SETTINGS, draws()).loss(model)
    assert list(losses) == [f"{name}_loss"]
    torch.testing.assert_close(losses[f"{name}_loss"], expected)


def test_every_image_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    images: list[int] = []
    encode = model.vision.forward

    def counted(frames: torch.Tensor) -> torch.Tensor:
        images.append(len(frames))
        return encode(frames)

    monkeypatch.setattr(model.vision, "forward", counted)
    losses = StepLosses(model, SETTINGS)(batch_of(ALL), draws())
    assert images == [12]
    assert list(losses) == [f"{name}_loss" for name in ALL]
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_the_order_of_objectives_changes_no_gradient_of_the_deterministic_ones() -> None:
    found = []
    for objectives in (("itm", "itc", "citm", "citc"), ("itc", "itm", "citc", "citm")):
        model = tiny_model()
        losses = StepLosses(model, SETTINGS)(batch_of(objectives), draws())
        (losses["itc_loss"] + losses["citc_loss"]).backward()
        found.append(gradients(model))
    assert found[0].keys() == found[1].keys()
    torch.testing.assert_close(found[0], found[1])


def test_questions() -> None:
    model = tiny_model()
    base = batch_of(("qa",), 3)
    questions, answers = (model.tokenizer.batch(texts, 8) for texts in (CAPTIONS[:3], CAPTIONS[3:6]))
    batch = Batch(
        base.corpus, base.objectives, base.media_ids, base.frames, base.identities,
        questions, answer_ids=answers, answer_position=20,
    )  # fmt: skip
    losses = StepLosses(model, SETTINGS)(batch, draws())
    assert list(losses) == ["qa_loss"]
    assert losses["qa_loss"] > 0
