"""How captions are generated. No torch here: specs are checked with it."""

from pydantic import Field, PositiveInt

from cosa.section import Section


class GenerationSettings(Section):
    """Configures how captions are generated (published defaults)."""

    beam_size: PositiveInt = Field(3, description="beams of a caption; answers are greedy")
    length_penalty: float = Field(0.6, ge=0, description="captions: log-probabilities are divided by length ** penalty")
    max_caption_tokens: PositiveInt = Field(40, description="longest generated caption, tokens")
