from collections import Counter
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from cosa.draws import Draws
from cosa.objectives.contrastive import contrastive_loss
from cosa.objectives.encoded_batch import EncodedBatch
from cosa.objectives.matching import draw_negatives, matching_loss, matching_loss_on_concatenated
from cosa.objectives.objective_settings import ObjectiveSettings
from tests.support import encoded, gradients, tiny_model

SETTINGS = ObjectiveSettings(itm_ratio=0.5)


def draws(seed: int = 0) -> Draws:
    return Draws(torch.Generator().manual_seed(seed))


def by_hand(batch: EncodedBatch, videos: list[int], texts: list[int]) -> torch.Tensor:
    """One pass a row; (text, video) pairs: matched, negative video, negative text."""
    rows = range(len(videos))
    pairs = [(i, i) for i in rows] + [(i, videos[i]) for i in rows] + [(texts[i], i) for i in rows]
    logits = []
    for text, video in pairs:
        memory = batch.model.video_memory(batch.videos.select(torch.tensor([video])))
        logits.append(batch.model.matching_logits(batch.ids[text : text + 1], memory))
    labels = torch.tensor([1] * len(rows) + [0] * (2 * len(rows)))
    return SETTINGS.itm_ratio * F.cross_entropy(torch.cat(logits), labels)


def test_equals_one_pass_a_pair() -> None:
    batch = encoded(tiny_model())
    videos, texts = (drawn.tolist() for drawn in draw_negatives(batch, 6, draws(3)))
    torch.testing.assert_close(matching_loss(batch, SETTINGS, draws(3)).loss(batch.model), by_hand(batch, videos, texts))


@pytest.mark.parametrize(("rows", "used"), [(3, 1), (6, 2), (8, 2)])
def test_concatenated_samples_use_the_first_third(rows: int, used: int, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = encoded(tiny_model(), rows)
    videos, texts = (drawn.tolist() for drawn in draw_negatives(batch, used, draws(3)))
    assert len(videos) == len(texts) == used
    loss = matching_loss_on_concatenated(batch, SETTINGS, draws(3)).loss(batch.model)
    torch.testing.assert_close(loss, by_hand(batch, videos, texts))


def test_gradients_equal_those_of_one_pass_a_pair() -> None:
    found = []
    for fast in (True, False):
        model = tiny_model()
        batch = encoded(model, 4)
        drawn = [negatives.tolist() for negatives in draw_negatives(batch, 4, draws(1))]
        loss = matching_loss(batch, SETTINGS, draws(1)).loss(model) if fast else by_hand(batch, *drawn)
        loss.backward()
        found.append(gradients(model))
    assert found[0].keys() == found[1].keys()
    assert any(name.startswith("vision.") for name in found[0])
    torch.testing.assert_close(found[0], found[1], atol=2e-5, rtol=1e-3)


@pytest.mark.parametrize("seed", range(20))
def test_negatives_are_never_the_row_or_its_media(seed: int) -> None:
    identities = [0, 0, 1, 2, 1, 3]
    batch = encoded(tiny_model(spread=0.5), identities=identities)
    for drawn in draw_negatives(batch, 6, draws(seed)):
        assert all(identities[i] != identities[j] for i, j in enumerate(drawn.tolist()))


def test_same_media_is_drawn_only_when_nothing_else_is_left() -> None:
    batch = encoded(tiny_model(), 4, identities=[0, 0, 0, 0])
    for drawn in draw_negatives(batch, 4, draws()):
        assert all(i != j for i, j in enumerate(drawn.tolist()))


def test_negatives_follow_the_similarities() -> None:
    batch, counts = encoded(tiny_model(), 3), Counter[tuple[int, int]]()
    scores = torch.tensor([[9.0, 1.0, 0.0], [0.0, 9.0, 2.0], [0.0, 0.0, 9.0]])
    batch.__dict__["similarities"] = (scores, scores.T)
    times = 4000
    for seed in range(times):
        counts.update(enumerate(draw_negatives(batch, 3, draws(seed))[0].tolist()))
    weights = scores.softmax(1) + 1e-4
    for i in range(3):
        weights[i, i] = 0
        for j in range(3):
            assert counts[i, j] / times == pytest.approx(float(weights[i, j] / weights[i].sum()), abs=0.04)


@pytest.mark.parametrize("matching_first", [False, True])
def test_the_order_of_objectives_changes_no_gradient(matching_first: bool) -> None:
    """Drawing negatives needs no gradient but the contrastive loss takes the same similarities."""
    model = tiny_model()
    batch = encoded(model, 4)
    losses = [
        lambda: contrastive_loss(batch, SETTINGS, draws()).loss(model),
        lambda: matching_loss(batch, SETTINGS, draws()).loss(model),
    ]
    sum(loss() for loss in (reversed(losses) if matching_first else losses)).backward()  # type: ignore[union-attr]
    assert gradients(model)["temperature"].abs() > 0


def test_texts_of_other_lengths_are_padded() -> None:
    """Another worker's texts may be longer: padding the own ones changes nothing."""
    batch = encoded(tiny_model(), 4)
    expected = matching_loss(batch, SETTINGS, draws()).loss(batch.model)
    padded = replace(batch, given_all_ids=F.pad(batch.ids, (0, 7), value=batch.model.tokenizer.pad_id))
    torch.testing.assert_close(matching_loss(padded, SETTINGS, draws()).loss(batch.model), expected)
