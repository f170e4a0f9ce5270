"""ITC and ITM on single samples."""

import pytest
import torch

from cosa.behaviour import PUBLISHED
from cosa.objectives.contrastive import contrastive_loss
from cosa.objectives.matching import matching_loss, negative_weights
from tests.golden import golden, steps
from tests.golden.golden import Encoder
from tests.golden.recorded import RecordedDraws

pytestmark = pytest.mark.golden


@torch.no_grad()
def test_contrastive(encoder: Encoder) -> None:
    expected = golden.record(encoder, "ret")
    model = golden.model_of(encoder)
    ids = golden.text_ids(encoder, golden.config()["captions"][: len(expected["feat_v"])], golden.option("max_text_tokens"))
    assert torch.equal(ids, expected["itc_input_ids"])
    assert torch.equal(ids, expected["eval_input_ids"])
    batch = golden.batch_of(encoder, ids, behaviour=PUBLISHED)
    hidden, _ = model.multimodal(ids, model.not_padding(ids))
    golden.close(hidden, expected["itc_text_sequence_output"])
    for name in ("feat_t", "eval_feat_t"):
        golden.close(batch.text_features, expected[name])
    for name in ("feat_v", "eval_feat_v"):
        golden.close(batch.video_features, expected[name])
    golden.close(model.temperature, expected["contra_temp"])
    golden.close(batch.similarities[0], expected["sim_t2i"])
    golden.close(batch.similarities[1], expected["sim_i2t"])
    loss = contrastive_loss(batch, golden.settings(), RecordedDraws()).loss(model)
    assert float(loss) == golden.loss(expected["losses"]["itc_loss_origin"])


@pytest.mark.parametrize("padded", [True, False])
@torch.no_grad()
def test_matching(encoder: Encoder, padded: bool) -> None:
    """With padding to the limit as published, and trimmed to the longest text."""
    expected = golden.record(encoder, "ret")
    model = golden.model_of(encoder)
    ids = expected["itc_input_ids"]
    ids = ids if padded else ids[:, : int((ids != 0).sum(1).max())]
    batch = golden.batch_of(encoder, ids, behaviour=PUBLISHED)
    to_video, to_text = negative_weights(batch)
    golden.close(to_video, expected["neg_video_weights"])
    golden.close(to_text, expected["neg_text_weights"])
    recorded = [expected["neg_video_idx"], expected["neg_text_idx"]]
    logits = steps.matching_logits(batch, RecordedDraws(negatives=recorded))
    golden.close(logits, expected["itm_logits"])
    settings = golden.settings().model_copy(update={"itm_ratio": expected["itm_ratio"]})
    draws = RecordedDraws(negatives=recorded)
    assert float(matching_loss(batch, settings, draws).loss(model)) == golden.loss(expected["losses"]["itm_loss_origin"])
    assert draws.used_up()
    rows = torch.arange(len(ids))
    videos = torch.cat([rows, torch.tensor(expected["neg_video_idx"]), rows])
    all_ids = expected["itm_input_ids"]
    hidden, _ = model.multimodal(all_ids, expected["itm_attention_mask"].bool(), batch.memory.select(videos))
    golden.close(hidden[:, 0], expected["itm_cls"])
    golden.close(model.matching_head(hidden[:, 0]), expected["itm_logits"])
