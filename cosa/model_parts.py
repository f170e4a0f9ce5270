"""The named parts of a model, by which objectives say what they train. No torch here: specs are checked with the objectives."""

from dataclasses import dataclass, field
from fnmatch import fnmatchcase


@dataclass(frozen=True)
class ModelPart:
    """Parameters that an objective reaches together.

    name: what messages call the part, and what it is known by. parameters: patterns (of `fnmatch`) of their names in `COSA`;
    those of `POOLING` depend on the model (`COSA.parts`). may_be_frozen: whether a stage whose objectives do not reach the part
    freezes it. A head that another stage trained is frozen, so that weight decay does not shrink it; where a part may not be,
    such a stage is a mistake.
    """

    name: str
    parameters: tuple[str, ...] = field(compare=False)
    may_be_frozen: bool

    def holds(self, parameter: str) -> bool:
        """Whether a parameter of this name is of the part."""
        return any(fnmatchcase(parameter, pattern) for pattern in self.parameters)


# Of what makes one vector of a frame's tokens; the parameters, if it has any, are those that the family of encoders names.
POOLING = ModelPart("pooling of frames", (), may_be_frozen=True)
VISION = ModelPart("vision encoder", ("vision.*",), may_be_frozen=False)
FUSION = ModelPart(
    "cross-attention to videos",
    ("projection.*", "frame_embedding", "multimodal.bert.encoder.layer.*.crossattention.*"),
    may_be_frozen=True,
)
# An objective may look at videos alone, but none does without them.
TEXT = ModelPart("text encoder", ("multimodal.bert.*",), may_be_frozen=True)
LANGUAGE = ModelPart("language head", ("multimodal.cls.*",), may_be_frozen=True)
CONTRASTIVE = ModelPart(
    "contrastive heads", ("text_contrastive_head.*", "video_contrastive_head.*", "temperature"), may_be_frozen=True
)
MATCHING = ModelPart("matching head", ("matching_head.*",), may_be_frozen=True)

# All that every model has. A parameter is of the first part that holds it: cross-attention is no longer of the text encoder.
PARTS = (VISION, FUSION, TEXT, LANGUAGE, CONTRASTIVE, MATCHING)


def part_of_head(name: str, *, may_be_frozen: bool) -> ModelPart:
    """The part that is `COSA.heads[name]`."""
    return ModelPart(f"head of {name}", (f"heads.{name}.*",), may_be_frozen)
