import pytest
from pydantic import ValidationError

from cosa.encoders.text_config import TextConfig
from cosa.model_config import ModelConfig
from tests.support import tiny_config


def test_unknown_keys_odd_heads_and_changes_are_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        ModelConfig.model_validate({"vison": {}})
    with pytest.raises(ValidationError, match="not a multiple of num_attention_heads"):
        TextConfig(hidden_size=30, num_attention_heads=4)
    with pytest.raises(ValidationError, match="frozen"):
        TextConfig().hidden_size = 5  # type: ignore[misc]


@pytest.mark.parametrize("family", ["swin", "clip"])
def test_saved_and_read_again(family: str) -> None:
    config = tiny_config(family)  # type: ignore[arg-type]
    assert ModelConfig.model_validate_json(config.model_dump_json()) == config
