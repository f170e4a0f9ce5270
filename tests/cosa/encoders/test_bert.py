"""Our modules against transformers' own: names, order, random draws."""

import pytest
import torch
from torch import Tensor
from transformers import BertConfig, BertForMaskedLM, BertModel
from transformers.models.bert.modeling_bert import BertOnlyMLMHead

from benchmarks.plain import transformers_bert
from cosa.encoders.text import MultimodalEncoder
from cosa.encoders.text_config import TextConfig
from tests.support import tiny_config

CONFIG = tiny_config().text


def transformers_modules(config: TextConfig) -> tuple[BertModel, BertOnlyMLMHead]:
    """As a model of transformers would build them, one after the other."""
    transformers_bert.cache_clear()
    bert = transformers_bert(config)
    head = BertOnlyMLMHead(bert.config)
    head.apply(bert._init_weights)
    head.predictions.decoder.weight = bert.embeddings.word_embeddings.weight
    head.predictions.decoder.bias = head.predictions.bias
    return bert, head


@pytest.mark.parametrize("changes", [{}, {"initializer_range": 0.3}, {"num_hidden_layers": 1, "hidden_size": 64}])
def test_names_order_and_random_weights_are_those_of_transformers(changes: dict[str, int | float]) -> None:
    config = CONFIG.model_copy(update=changes)
    torch.manual_seed(7)
    bert, head = transformers_modules(config)
    after = torch.rand(3)
    torch.manual_seed(7)
    ours = MultimodalEncoder(config)
    assert torch.equal(torch.rand(3), after)
    for mine, theirs in ((ours.bert, bert), (ours.cls, head)):
        assert list(mine.state_dict()) == list(theirs.state_dict())
        assert [name for name, _ in mine.named_parameters()] == [name for name, _ in theirs.named_parameters()]
        for name, value in theirs.state_dict().items():
            assert torch.equal(mine.state_dict()[name], value), name


def test_weights_go_to_transformers_and_back() -> None:
    ours, sizes = MultimodalEncoder(CONFIG), transformers_bert(CONFIG).config
    plain = BertForMaskedLM(BertConfig(**{**sizes.to_dict(), "is_decoder": False, "add_cross_attention": False}))
    missing, unexpected = plain.load_state_dict(ours.state_dict(), strict=False)
    assert not missing
    assert all("crossattention" in name for name in unexpected)
    ids = torch.tensor([[101, 2000, 2500, 102]])
    hidden, _ = ours.eval()(ids, torch.ones(1, 4, dtype=torch.bool))
    expected: Tensor = plain.eval()(input_ids=ids).logits
    torch.testing.assert_close(ours.language_logits(hidden), expected, atol=1e-5, rtol=0)
