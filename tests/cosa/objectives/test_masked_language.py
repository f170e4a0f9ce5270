import pytest
import torch
import torch.nn.functional as F

from cosa.draws import Draws
from cosa.objectives.masked_language import captioning_loss, language_loss, masked_language_loss
from cosa.objectives.objective_settings import ObjectiveSettings
from cosa.token_masking import MaskedTexts, mask_tokens
from tests.support import FAMILIES, Family, encoded, tiny_model

SETTINGS = ObjectiveSettings()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("causal", [False, True])
def test_equals_a_loop_over_rows_with_all_logits(family: Family, causal: bool) -> None:
    model = tiny_model(family)
    batch = encoded(model)
    objective = captioning_loss if causal else masked_language_loss
    loss = objective(batch, SETTINGS, Draws(torch.Generator().manual_seed(4))).loss(model)
    candidates = (batch.ids != 0) & (torch.arange(batch.ids.shape[1]) > 0)
    ids, labels = mask_tokens(
        batch.ids, candidates, 0.6 if causal else 0.15,
        mask_id=103, vocabulary_size=4161, generator=torch.Generator().manual_seed(4),
    )  # fmt: skip
    losses = []
    for row in range(len(ids)):
        length = int((batch.ids[row] != 0).sum())  # no padding at all
        memory = batch.memory.select(torch.tensor([row]))
        for place in torch.nonzero(labels[row] != -100)[:, 0].tolist():
            seen = place + 1 if causal else length
            mask = torch.ones(1, seen, seen, dtype=torch.bool)
            hidden, _ = model.multimodal(ids[row : row + 1, :seen], mask.tril() if causal else mask, memory)
            logits = model.multimodal.cls(hidden)[0, place]
            losses.append(F.cross_entropy(logits, labels[row, place]))
    torch.testing.assert_close(loss, torch.stack(losses).mean(), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("loss", [masked_language_loss, captioning_loss])
def test_first_token_and_padding_are_never_masked(loss: object, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    batch, seen = encoded(model), []

    def spy(ids: torch.Tensor, candidates: torch.Tensor, probability: float, **rest: object) -> object:
        seen.append((candidates, probability))
        return mask_tokens(ids, candidates, probability, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr("cosa.draws.mask_tokens", spy)
    loss(batch, SETTINGS, Draws())  # type: ignore[operator]
    [(candidates, probability)] = seen
    assert probability == (0.15 if loss is masked_language_loss else 0.6)
    assert not candidates[:, 0].any()
    assert torch.equal(candidates[:, 1:], batch.ids[:, 1:] != 0)


def test_a_caption_of_no_words_is_no_trouble() -> None:
    model = tiny_model()
    batch = encoded(model, 2)
    empty = type(batch)(model, model.tokenizer.batch(["", "a dog"], 10), batch.videos, batch.identities)
    assert torch.isfinite(masked_language_loss(empty, SETTINGS, Draws()).loss(model))


def test_language_loss_is_the_mean_over_masked_positions() -> None:
    model, hidden = tiny_model(), torch.randn(2, 3, 32)
    labels = torch.tensor([[-100, 5, -100], [7, -100, 8]])
    logits = model.multimodal.cls(hidden)
    expected = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
    texts = MaskedTexts.of(torch.zeros_like(labels), labels)
    at_places = hidden.take_along_dim(texts.places[..., None], dim=1)
    torch.testing.assert_close(language_loss(model, texts)([at_places]), expected)
