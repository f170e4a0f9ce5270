"""What objectives make once before training, such as a reward that knows all captions: by name, as `StepLosses` takes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

from cosa.behaviour import Behaviour
from cosa.data.batches import Corpus, Sample
from cosa.evaluation.evaluation_settings import EvaluationSettings
from cosa.objectives.all_objectives import OBJECTIVES
from cosa.objectives.objective_settings import ObjectiveSettings
from cosa.tokenizer import CaptionTokenizer


@dataclass(frozen=True)
class Preparation:
    """What an objective may prepare itself from.

    samples: all that it is trained on. tokenizer: of the model. settings, evaluation: of the stage. behaviour: ours or the
    published one.
    """

    samples: Sequence[Sample]
    tokenizer: CaptionTokenizer
    settings: ObjectiveSettings
    evaluation: EvaluationSettings
    behaviour: Behaviour


def prepare(
    corpora: Sequence[Corpus],
    tokenizer: CaptionTokenizer,
    settings: ObjectiveSettings,
    evaluation: EvaluationSettings,
    behaviour: Behaviour,
) -> dict[str, Any]:
    """What those objectives of corpora prepare that have something to prepare, by name."""
    prepared = {}
    for name in dict.fromkeys(name for corpus in corpora for name in corpus.objectives):
        function = OBJECTIVES[name].prepare
        if function is not None:
            samples = [sample for corpus in corpora if name in corpus.objectives for sample in corpus.samples]
            made_from = Preparation(samples, tokenizer, settings, evaluation, behaviour)
            prepared[name] = resolve_name(function)(made_from)
    return prepared
