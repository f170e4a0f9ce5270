"""What objectives make once before training, such as a reward that knows all captions: by name, as `StepLosses` takes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

from cosa.behaviour import DEFAULT, Behaviour
from cosa.data.batches import Corpus, Sample
from cosa.objectives.all_objectives import OBJECTIVES
from cosa.tokenizer import CaptionTokenizer


@dataclass(frozen=True)
class Preparation:
    """What an objective may prepare itself from.

    samples: all that it is trained on. tokenizer: of the model. settings: all that the training is given, such as the section
    of a stage; an objective says which fields it needs. behaviour: ours or the published one.
    """

    samples: Sequence[Sample]
    tokenizer: CaptionTokenizer
    settings: Any
    behaviour: Behaviour


def prepare(
    corpora: Sequence[Corpus], tokenizer: CaptionTokenizer, settings: Any, behaviour: Behaviour = DEFAULT
) -> dict[str, Any]:
    """What those objectives of corpora prepare that have something to prepare, by name; arguments as of `Preparation`."""
    prepared = {}
    for name in dict.fromkeys(name for corpus in corpora for name in corpus.objectives):
        function = OBJECTIVES[name].prepare
        if function is not None:
            samples = [sample for corpus in corpora if name in corpus.objectives for sample in corpus.samples]
            made_from = Preparation(samples, tokenizer, settings, behaviour)
            prepared[name] = resolve_name(function)(made_from)
    return prepared
