"""All objectives in one table, and what follows from several of them. No torch here: specs are checked with it.

To add one: a file beside this with its loss, a function of `EncodedBatch`, and an entry here.
"""

from collections.abc import Collection, Iterable, Iterator

from cosa.data.batch_needs import BatchNeeds
from cosa.data.clip_settings import AnswerLength
from cosa.errors import UserError
from cosa.generation_settings import GenerationSettings
from cosa.model_parts import CONTRASTIVE, FUSION, LANGUAGE, MATCHING, POOLING, TEXT, VISION, ModelPart
from cosa.objectives.objective import Fewest, Objective
from cosa.objectives.objective_settings import (
    AnswerModellingSettings,
    CaptionModellingSettings,
    ContrastiveSettings,
    MaskedLanguageSettings,
    MatchingSettings,
)
from cosa.section import Section, redefined_field
from cosa.table import Table


def _problem(name: str, objective: object) -> str | None:
    """What is wrong with an objective that is to be added under a name, if anything."""
    if not isinstance(objective, Objective):
        return f"expected an Objective, not {objective!r}"
    if not name.isidentifier():
        return "expected letters, digits and '_', because its head and its loss have names made from it"
    if not all(isinstance(part, ModelPart) for part in objective.reaches):
        return f"its `reaches` is {objective.reaches!r}; expected a tuple of parts from cosa/model_parts.py"
    for other, known in OBJECTIVES.items():
        if (field := redefined_field(objective.settings, known.settings)) is not None:
            return f"its setting {field!r} has another default or type than that of objective {other}; give it another name"
    return None


OBJECTIVES: Table[Objective] = Table(
    "objective",
    {
        "itc": Objective(
            title="image/video-text contrastive",
            loss="cosa.objectives.contrastive:contrastive_loss",
            reaches=(VISION, POOLING, TEXT, CONTRASTIVE),
            settings=ContrastiveSettings,
            by_similarity=True,
        ),
        "itm": Objective(
            title="image/video-text matching",
            loss="cosa.objectives.matching:matching_loss",
            reaches=(VISION, TEXT, FUSION, MATCHING),
            settings=MatchingSettings,
            by_similarity=True,
            all_captions=True,
            fewest=Fewest(2, "needs another sample as a negative"),
        ),
        "mlm": Objective(
            title="masked-language modelling",
            loss="cosa.objectives.masked_language:masked_language_loss",
            reaches=(VISION, TEXT, FUSION, LANGUAGE),
            settings=MaskedLanguageSettings,
            masks="mlm_probability",
            divisible=True,
        ),
        "cap": Objective(
            title="captioning (causal generative modelling)",
            loss="cosa.objectives.masked_language:captioning_loss",
            reaches=(VISION, TEXT, FUSION, LANGUAGE),
            settings=CaptionModellingSettings,
            masks="captioning_probability",
            divisible=True,
        ),
        "citc": Objective(
            title="contrastive on concatenated samples",
            loss="cosa.objectives.contrastive:contrastive_loss",
            reaches=(VISION, POOLING, TEXT, CONTRASTIVE),
            settings=ContrastiveSettings,
            concatenated=True,
            by_similarity=True,
        ),
        "citm": Objective(
            title="matching on concatenated samples",
            loss="cosa.objectives.matching:matching_loss_on_concatenated",
            reaches=(VISION, TEXT, FUSION, MATCHING),
            settings=MatchingSettings,
            concatenated=True,
            by_similarity=True,
            all_captions=True,
            fewest=Fewest(3, "uses a third of every worker's samples", each_worker=True),
        ),
        "cmlm": Objective(
            title="masked-language modelling on concatenated samples",
            loss="cosa.objectives.masked_language:masked_language_loss",
            reaches=(VISION, TEXT, FUSION, LANGUAGE),
            settings=MaskedLanguageSettings,
            concatenated=True,
            masks="mlm_probability",
        ),
        "ccap": Objective(
            title="captioning on concatenated samples",
            loss="cosa.objectives.masked_language:captioning_loss",
            reaches=(VISION, TEXT, FUSION, LANGUAGE),
            settings=CaptionModellingSettings,
            concatenated=True,
            masks="captioning_probability",
        ),
        "qa": Objective(
            title="question answering",
            loss="cosa.objectives.answer_modelling:question_answering_loss",
            reaches=(VISION, TEXT, FUSION, LANGUAGE),
            settings=AnswerModellingSettings,
            questions=True,
            masks="answer_probability",
            divisible=True,
            finetuning_only=True,
        ),
        "scst": Objective(
            title="self-critical captioning",
            loss="cosa.objectives.self_critical:self_critical_loss",
            reaches=(VISION, TEXT, FUSION, LANGUAGE),
            settings=GenerationSettings,
            generates=True,
            finetuning_only=True,
            prepare="cosa.objectives.self_critical:prepare_rewards",
        ),
    },
    _problem,
)


class PretrainingObjectives(Collection[str]):
    """Names that a corpus of pretraining may list, which holds captions. A view of the table: it knows what is added later."""

    def __iter__(self) -> Iterator[str]:
        return (name for name, objective in OBJECTIVES.items() if not (objective.finetuning_only or objective.questions))

    def __contains__(self, name: object) -> bool:
        return name in set(self)

    def __len__(self) -> int:
        return len(set(self))


PRETRAINING = PretrainingObjectives()


def batch_needs(names: Iterable[str]) -> BatchNeeds:
    """What batches must hold for all of these objectives.

    Raises:
        UserError: there is no such objective, or some need captions and others questions.
    """
    names = list(names)
    unknown = [name for name in names if name not in OBJECTIVES]
    if unknown:
        raise UserError(f"no objective {unknown[0]!r}; expected a list of some of: {', '.join(OBJECTIVES)}")
    objectives = {name: OBJECTIVES[name] for name in names}
    asking = [name for name, objective in objectives.items() if objective.questions]
    if asking and len(asking) < len(objectives):
        others = [name for name in objectives if name not in asking]
        raise UserError(
            f"{', '.join(asking)} needs questions and {', '.join(others)} needs captions; a corpus brings one of them: give "
            "each a corpus of its own"
        )
    together = {objective.concatenated for objective in objectives.values() if objective.all_captions}
    return BatchNeeds(
        questions=bool(asking),
        all_captions=False in together,
        concatenated=any(objective.concatenated for objective in objectives.values()),
        all_concatenated=True in together,
    )


def settings_of(names: Iterable[str]) -> tuple[type[Section], ...]:
    """The settings of these objectives and of what their batches hold, each once."""
    objectives = [OBJECTIVES[name] for name in names]
    of_answers = [AnswerLength] if any(objective.questions for objective in objectives) else []
    return tuple(dict.fromkeys([*(objective.settings for objective in objectives), *of_answers]))


def heads_of(names: Iterable[str]) -> tuple[str, ...]:
    """Those of the objectives that bring a head of their own: the model that they train has it, see `ModelConfig.heads`."""
    return tuple(dict.fromkeys(name for name in names if OBJECTIVES[name].head is not None))


def parts_reached(names: Iterable[str]) -> frozenset[ModelPart]:
    """The parts of a model in which these objectives train parameters, their own heads included."""
    reached: set[ModelPart] = set()
    for name in names:
        head = OBJECTIVES[name].head_part(name)
        reached.update(OBJECTIVES[name].reaches, () if head is None else (head,))
    return frozenset(reached)
