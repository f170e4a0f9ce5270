"""What changes a fingerprint, and what does not."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cosa.objectives.all_objectives import OBJECTIVES
from cosa.objectives.objective_settings import MaskedLanguageSettings
from cosa.tasks.all_tasks import TASKS
from cosa.tasks.captioning import Captioning
from tests.workflows.planning.planned import SPEC, fingerprints, finish, lay_out, load, plan
from workflows.planning.fingerprint import result_fields, without_names
from workflows.spec.problems import SpecError
from workflows.spec.read import Read
from workflows.spec.reads import ResultRead
from workflows.spec.sections import StageSection
from workflows.spec.stage_kind import StageKind
from workflows.spec.stage_kinds import STAGE_KINDS
from workflows.stages.finetune import FinetuneSection
from workflows.stages.pretrain import Pretrain, PretrainSection


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return lay_out(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    "override",
    [
        "description=x",
        "cluster={workers: 3, cpus: 2}",
        "cluster.checkpoint_storage=s3://team/unfinished",
        "tracking={uri: http://localhost:1, checkpoints: all}",
        "stages.retrieval.register_as=some-name",
        "stages.retrieval.description=x",
        "stages.retrieval.log_every=1",
        "stages.retrieval.loader_workers=2",
        "stages.retrieval.sharding=fsdp",
        "stages.retrieval.workers=2",
        "stages.retrieval.eval_batch_size=3",
        "stages.retrieval.sweep.max_concurrent=1",
        "stages.test.eval_batch_size=3",
        "stages.test.published={text_to_video_r1: 50}",
        "datasets.unused={media: image, root: x, splits: {}}",
        "datasets.pictures.splits.unused=x.json",
        "datasets.pictures.max_pixels=1000",
        "stages.own-frames.seconds_per_clip=5",
        "stages.pretrain.mlm_probability=0.3",  # It trains itc and cap.
        "stages.test.beam_size=5",  # It evaluates retrieval, as the next ones do.
        "stages.test.caption_metrics=[cider]",
        "stages.test.baseline_split=spare",
        "stages.captions.rerank=3",
        "stages.captions.video_to_text=true",
    ],
)
def test_fields_without_effect_run_nothing_again(override: str, here: Path) -> None:
    finish(plan())
    assert plan(override).to_run == ()


def test_what_saves_memory_only_has_no_effect() -> None:
    """A mean of the weights has."""
    plain, saving, averaged = (
        FinetuneSection.model_validate({"kind": "finetune", "task": "captioning", "dataset": "own", "epochs": 1, **fields})
        for fields in ({}, {"accumulate": 4, "sharding": "fsdp"}, {"ema_decay": 0.9})
    )
    assert result_fields(plain) == result_fields(saving) != result_fields(averaged)


OWN: dict[str, dict[str, Any]] = {
    "retrieval": {"rerank": 3, "itm_ratio": 0.3, "label_smoothing": 0.2, "max_text_tokens": 9, "train_frames": 2},
    "captioning": {"beam_size": 5, "caption_metrics": ["cider"], "captioning_probability": 0.5, "self_critical": True},
    "question_answering": {"max_answer_tokens": 5, "answer_probability": 0.5, "soft_accuracy": True},
}
FOREIGN: dict[str, dict[str, Any]] = {
    "retrieval": {
        "max_answer_tokens": 5,
        "beam_size": 5,
        "caption_metrics": ["cider"],
        "captioning_probability": 0.5,
        "answer_probability": 0.5,
    },
    "captioning": {"rerank": 3, "itm_ratio": 0.3, "label_smoothing": 0.2, "answer_probability": 0.5, "mlm_probability": 0.2},
    "question_answering": {"rerank": 3, "beam_size": 5, "caption_metrics": ["cider"], "itm_ratio": 0.3},
}


@pytest.mark.parametrize("task", FOREIGN)
def test_fields_of_other_tasks_have_no_effect_on_finetuning(task: str) -> None:
    def identity(**fields: Any) -> dict[str, Any]:
        plain = {"kind": "finetune", "task": task, "dataset": "own", "epochs": 1}
        return result_fields(FinetuneSection.model_validate({**plain, **fields}))

    assert identity(**FOREIGN[task]) == identity()
    for name, value in OWN[task].items():
        assert identity(**{name: value}) != identity()


def test_fields_of_a_kind_of_the_users_own_have_an_effect_whatever_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other stages have fields of these names, which mean something else there, and may be those of tasks they do not train."""

    class ProbingSection(PretrainSection):
        kind: Literal["probing"]  # type: ignore[assignment]
        rerank: int = 1

    class Probing(Pretrain):
        name, section = "probing", ProbingSection

    class ListeningSection(StageSection):
        kind: Literal["listening"]
        train_frames: int = 2
        eval_frames: int | None = None  # Left out, it means all of them.

    class Listening(StageKind[ListeningSection]):
        name, section, version = "listening", ListeningSection, 1

        def reads(self, section: ListeningSection, datasets: Any) -> Iterable[Read]:
            return ()

        def run(self, context: Any) -> None:
            return None

    for kind in (Probing(), Listening()):
        monkeypatch.setitem(STAGE_KINDS._entries, kind.name, kind)
    corpora = [{"dataset": "pictures", "objectives": ["itc"], "steps": 1, "batch_size": 2}]
    for plain, changed in (
        ({"kind": "probing", "corpora": corpora}, {"rerank": 2}),
        ({"kind": "listening"}, {"eval_frames": 2}),
    ):
        section = STAGE_KINDS[str(plain["kind"])].section
        assert result_fields(section.model_validate(plain)) != result_fields(section.model_validate({**plain, **changed}))


def test_the_length_of_answers_has_an_effect_whichever_objective_learns_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of questions are made with it, though neither the task nor the objective may have it among its settings."""

    class Asking(Captioning):
        name = "asking"

        def objectives(self, settings: Any) -> tuple[str, ...]:
            return ("asking",)

    asking = replace(OBJECTIVES["qa"], settings=MaskedLanguageSettings, masks="mlm_probability")
    monkeypatch.setitem(OBJECTIVES._entries, "asking", asking)
    monkeypatch.setitem(TASKS._entries, "asking", Asking())
    plain = {"kind": "finetune", "task": "asking", "dataset": "own", "epochs": 1}
    longer = {**plain, "max_answer_tokens": 12}
    assert result_fields(FinetuneSection.model_validate(plain)) != result_fields(FinetuneSection.model_validate(longer))


def test_constants_of_objectives_that_only_some_trials_train_have_an_effect() -> None:
    """The stage's own would be self-critical training, which masks nothing; one of its trials masks captions."""
    plain = {"kind": "finetune", "task": "captioning", "dataset": "own", "epochs": 1, "self_critical": True}
    masking = {**plain, "captioning_probability": 0.5}
    assert result_fields(FinetuneSection.model_validate(plain)) == result_fields(FinetuneSection.model_validate(masking))
    sweep = {"sweep": {"self_critical": [False, True]}}
    one, other = (FinetuneSection.model_validate({**fields, **sweep}) for fields in (plain, masking))
    assert result_fields(one) != result_fields(other)


def test_older_fields_may_have_a_list_where_a_mapping_names_what_is_read(here: Path) -> None:
    older = {"section": {"of": ["pretrain"]}}
    assert without_names(older, [ResultRead(("of", "first"), "pretrain")], load().section) == older


def test_unused_split_of_a_made_dataset_concerns_extraction_only(here: Path) -> None:
    before, after = fingerprints(plan()), fingerprints(plan("datasets.made.splits.spare=y.json"))
    assert {name for name in before if before[name] != after[name]} == {"made-frames"}
    own = {name for name in before if before[name] != fingerprints(plan("datasets.pictures.splits.spare=y.json"))[name]}
    assert own == set()


def shuffled(value: Any, draw: st.DrawFn) -> Any:
    if isinstance(value, dict):
        keys = draw(st.permutations(list(value)))
        return {key: shuffled(value[key], draw) for key in keys}
    return value


@st.composite
def reordered(draw: st.DrawFn) -> dict[str, Any]:
    """The same spec with the keys of all mappings in another order."""
    result: dict[str, Any] = shuffled(SPEC, draw)
    return result


@given(reordered())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_order_of_keys_does_not_matter(here: Path, spec: dict[str, Any]) -> None:
    Path("spec.yaml").write_text(yaml.safe_dump(SPEC, sort_keys=False))
    expected = fingerprints(plan())
    Path("spec.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    assert fingerprints(plan()) == expected


def test_writing_out_a_default_does_not_matter(here: Path) -> None:
    assert fingerprints(plan("stages.retrieval.max_text_tokens=40", "seed=50", "model.vision.resolution=224")) == fingerprints(
        plan()
    )


@pytest.mark.parametrize(
    "override",
    [
        "stages.pretrain.eval_frames=1",
        "stages.pretrain.resolution=224",
        "stages.pretrain.vision_learning_rate=1e-4",
        "stages.retrieval.resolution=224",  # that of pretrain, which has it from the model section
        "stages.test.eval_frames=1",
        "stages.captions.resolution=224",
        "model.vision.drop_path_rate=0.2",
        "model.text.encoder=bert-large-uncased",  # Nothing is fetched by that name.
    ],
)
def test_writing_out_what_holds_anyway_does_not_matter(override: str, here: Path) -> None:
    assert fingerprints(plan(override)) == fingerprints(plan())


@pytest.mark.parametrize(
    ("before", "written"),
    [
        ((), "stages.retrieval.vision_learning_rate=1e-4"),  # Its trials have other rates, which it would not follow.
        (("stages.retrieval.sweep.train_frames=[1, 2]",), "stages.retrieval.eval_frames=1"),
        (("stages.retrieval.sweep.resolution=[224, 448]",), "stages.test.resolution=224"),
        (("stages.pretrain.resolution=448",), "stages.retrieval.resolution=224"),
        (("stages.pretrain.train_frames=2",), "stages.pretrain.eval_frames=1"),
        ((), "stages.pretrain.vision_learning_rate=1e-5"),
        ((), "model.vision.drop_path_rate=0.1"),
        (("model.text.pretrained=true",), "model.text.encoder=google-bert/bert-base-uncased"),
    ],
)
def test_writing_out_what_does_not_hold_anyway_matters(before: tuple[str, ...], written: str, here: Path) -> None:
    assert fingerprints(plan(*before, written)) != fingerprints(plan(*before))


def test_pretrained_weights_may_want_a_rate_of_their_own(here: Path) -> None:
    clip = ("model.vision.encoder=vit_base_patch16_clip_224", "model.vision.pretrained=true")
    assert fingerprints(plan(*clip, "stages.pretrain.vision_learning_rate=1e-4")) != fingerprints(plan(*clip))
    assert fingerprints(plan(*clip, "stages.pretrain.vision_learning_rate=5e-7")) == fingerprints(plan(*clip))


EFFECTS = {
    "stages.corpus.options.seed": "corpus",
    "stages.own-frames.fps": "own-frames",
    "stages.own-frames.jpeg_quality": "own-frames",
    "stages.pretrain.concatenate": "pretrain",
    "stages.pretrain.corpora.0.steps": "pretrain",
    "stages.retrieval.batch_size": "retrieval",
    "stages.retrieval.train_frames": "retrieval",
    "stages.test.rerank": "test",
}


@given(st.dictionaries(st.sampled_from(sorted(EFFECTS)), st.integers(5, 9), min_size=1, max_size=3))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_change_concerns_its_stage_and_those_after_it(here: Path, values: dict[str, int]) -> None:
    before = plan()
    after = plan("stages.pretrain.corpora.0.batch_size=9", "stages.pretrain.corpora.1.batch_size=9",
                 *(f"{name}={value}" for name, value in values.items()))  # fmt: skip
    expected = {EFFECTS[name] for name in values} | {"pretrain"}
    while True:
        after_them = {name for name, inputs in before.experiment.inputs.items() if expected & set(inputs)}
        if after_them <= expected:
            break
        expected |= after_them
    old, new = fingerprints(before), fingerprints(after)
    # A stage that inherits fields from another changes with it, although its own section stays the same.
    assert {name for name in old if old[name] != new[name]} == expected


def test_a_stage_may_have_a_seed_of_its_own(here: Path) -> None:
    usual, own = fingerprints(plan()), fingerprints(plan("stages.pretrain.seed=51"))
    changed = {"pretrain", "retrieval", "test", "captions"}
    assert {name for name in usual if usual[name] != own[name]} == changed
    assert fingerprints(plan("stages.pretrain.seed=50")) == usual  # It is the experiment's.
    other = fingerprints(plan("stages.pretrain.seed=51", "seed=52"))
    assert other["pretrain"] == own["pretrain"]
    assert other["retrieval"] != own["retrieval"]
    two = plan(
        "stages.pretrain.matrix={seed: [1, 2]}",
        "stages.retrieval.init_from=pretrain-1",
        "stages.captions.checkpoint=pretrain-2",
    )
    assert {step.name: step.seed for step in two.steps if step.kind == "pretrain"} == {"pretrain-1": 1, "pretrain-2": 2}


def test_trials_of_a_sweep_cannot_differ_in_their_seed(here: Path) -> None:
    with pytest.raises(SpecError, match=r"sweep.seed: trials cannot differ in it; `matrix:` makes stages that can"):
        plan("stages.retrieval.sweep={seed: [1, 2]}")
