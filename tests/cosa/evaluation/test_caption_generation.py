import pytest
import torch

from cosa.evaluation.caption_generation import evaluate_captioning
from cosa.evaluation.caption_metrics import caption_metrics
from cosa.generation import generate
from tests.cosa.test_generation import lively_model
from tests.support import CAPTIONS, random_clips

REFERENCES = {f"v{i}": (CAPTIONS[i], CAPTIONS[i + 1]) for i in range(5)}
METRICS = ("bleu4", "rouge_l", "cider")


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_captions_are_those_of_each_clip_alone(batch: int) -> None:
    model = lively_model()
    result = evaluate_captioning(
        model, REFERENCES, random_clips, metrics=METRICS, beam_size=2, length_penalty=0.6, max_tokens=6, batch_size=batch,
        device=torch.device("cpu"),
    )  # fmt: skip
    expected = {}
    for video_id in REFERENCES:
        memory = model.video_memory(model.encode_video(random_clips(video_id, None)[None]))
        [ids] = generate(model, memory, max_tokens=6, beam_size=2, length_penalty=0.6)
        expected[video_id] = model.tokenizer.decode(ids)
    assert {row["video_id"]: row["caption"] for row in result.predictions} == expected
    assert [row["references"] for row in result.predictions] == [list(texts) for texts in REFERENCES.values()]
    assert result.metrics == caption_metrics(expected, REFERENCES, METRICS)
    assert set(result.metrics) == set(METRICS)


def test_settings_choose_the_metrics() -> None:
    result = evaluate_captioning(
        lively_model(), REFERENCES, random_clips, metrics=("rouge_l",), beam_size=3, length_penalty=0.6, max_tokens=3,
        batch_size=64, device=torch.device("cpu"),
    )  # fmt: skip
    assert set(result.metrics) == {"rouge_l"}
