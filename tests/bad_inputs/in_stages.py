"""Mistakes in how stages refer to each other, and in fields that cannot be combined."""

from __future__ import annotations

from tests.bad_inputs.cases import CLIPS, QUESTIONS, SPEC, Case, pretrain, said, sweep

STAGES = [
    Case(
        "stages in a cycle",
        ("error: spec.yaml:8:3: stages form a cycle: retrieval -> again -> retrieval",),
        overrides=(
            "stages.again={kind: finetune, task: retrieval, dataset: pictures, epochs: 1, init_from: retrieval}",
            "stages.retrieval.init_from=again",
        ),
    ),
    Case(
        "unknown stage",
        ("error: spec.yaml:9:38: stages.test.checkpoint: no stage 'retrievel'; did you mean 'retrieval'?",),
        spec=SPEC.replace("checkpoint: retrieval", "checkpoint: retrievel"),
    ),
    Case(
        "neither a stage nor a path",
        (
            "error: --set stages.retrieval.init_from=cosa-base: stages.retrieval.init_from: no stage 'cosa-base'; known: pre; "
            "a path needs a slash: ./cosa-base",
        ),
        overrides=(*pretrain("itc", 2), "stages.retrieval.init_from=cosa-base"),
    ),
    Case(
        "stage of the wrong kind",
        ("stages.retrieval.init_from: stage 'test' is of kind evaluate; expected a stage that trains (pretrain or finetune)",),
        overrides=("stages.retrieval.init_from=test",),
    ),
    Case(
        "unknown kind of stage",
        ("error: spec.yaml:8:21: stage 'retrieval': unknown kind 'finetuen'; did you mean 'finetune'?",),
        spec=SPEC.replace("kind: finetune", "kind: finetuen"),
    ),
    Case(
        "stage without a kind",
        (
            "error: spec.yaml:10:3: stage 'tests' has no kind; expected one of prepare, extract, index, pretrain, finetune, "
            "evaluate (or did you mean stage 'test'?)",
        ),
        spec=SPEC + "  tests: {split: val}\n",
    ),
    Case(
        "stage removed that another needs",
        (
            "error: spec.yaml:9:38: stages.test.checkpoint: no stage 'retrieval'; expected a stage that trains (pretrain or "
            "finetune); a path needs a slash: ./retrieval",
        ),
        overrides=("stages.retrieval=",),
    ),
    Case(
        "unknown dataset, reported once although the reference is used twice",
        said(
            "error: spec.yaml:8:57: stages.retrieval.dataset: no dataset 'picture'; did you mean 'pictures'?",
            "  8 |   retrieval: {kind: finetune, task: retrieval, dataset: picture, epochs: 1, batch_size: 2}",
            "    |                                                         ^",
            "",
        ),
        spec=SPEC.replace("dataset: pictures, split", 'dataset: "${stages.retrieval.dataset}", split').replace(
            "dataset: pictures,", "dataset: picture,"
        ),
    ),
    Case(
        "unknown split",
        ("error: spec.yaml:9:75: stages.test.split: dataset 'pictures' has no split 'vall'; did you mean 'val'?",),
        spec=SPEC.replace("split: val,", "split: vall,"),
    ),
    Case(
        "split without the annotations",
        ("error: spec.yaml:9:75: stages.test.split: split 'val' of dataset 'pictures' has no captions: file",),
        spec=SPEC.replace("val: val.json", "val: {questions: questions.json}"),
    ),
    Case(
        "unknown baseline split",
        ("stages.test.baseline_split: dataset 'pictures' has no split 'trian'; did you mean 'train'?",),
        overrides=("stages.test.baseline_split=trian",),
    ),
    Case(
        "no stage extracts frames of clips",
        (
            "error: spec.yaml:3:3: datasets.clips: no stage extracts frames of its clips; add a stage {kind: extract, dataset: "
            "clips}, or set datasets.clips.frames",
        ),
        spec=CLIPS,
    ),
    Case(
        "clips extracted twice",
        ("error: spec.yaml:3:3: datasets.clips: its clips are extracted by a and b; keep one",),
        spec=CLIPS + "  a: {kind: extract, dataset: clips}\n  b: {kind: extract, dataset: clips}\n",
    ),
    Case(
        "frames of images",
        ("error: spec.yaml:10:36: stages.frames.dataset: dataset 'pictures' holds images; only clips have frames to extract",),
        spec=SPEC + "  frames: {kind: extract, dataset: pictures}\n",
    ),
    Case(
        "unknown converter",
        ("error: spec.yaml:10:36: stages.data.converter: no converter 'demos'; did you mean 'demo'?",),
        spec=SPEC + "  data: {kind: prepare, converter: demos}\n",
    ),
    Case(
        "unknown option of a converter",
        ("stages.data.options.test_clip: unknown option; did you mean 'test_clips'?",),
        overrides=("stages.data={kind: prepare, converter: demo, options: {test_clip: 3}}",),
    ),
]

COMBINATIONS = [
    Case(
        "text longer than the encoder reads",
        (
            "stages.retrieval.max_text_tokens: a text may take 600 tokens, but the text encoder has 512 positions; lower it, "
            "or raise model.text.max_position_embeddings",
        ),
        overrides=("stages.retrieval.max_text_tokens=600",),
    ),
    Case(
        "joined captions longer than the encoder reads",
        ("stages.pre.max_text_tokens: the caption of 4 concatenated samples may take 600 tokens",),
        overrides=(*pretrain("ccap", batch_size=4, concatenate=4), "stages.pre.max_text_tokens=300"),
    ),
    Case(
        "generated caption longer than the encoder reads",
        ("stages.test.max_caption_tokens: a generated caption may take 513 tokens",),
        overrides=("stages.test.tasks=[captioning]", "stages.test.max_caption_tokens=512"),
    ),
    Case(
        "early stopping without earlier validations",
        ("stages.retrieval.sweep.scheduler: asha stops bad trials at validations before the last one; set",),
        overrides=sweep(scheduler="asha"),
    ),
    Case("task twice", ("stages.test.tasks: a task is listed twice",), overrides=("stages.test.tasks=[retrieval, retrieval]",)),
    Case(
        "registered model that MLflow does not get",
        ("stages.retrieval.register_as: a registered model has to be in MLflow, but tracking.checkpoints: none keeps it out",),
        overrides=("stages.retrieval.register_as=name", "tracking.checkpoints=none"),
    ),
    Case(
        "name that MLflow refuses for a registered model",
        ("stages.retrieval.register_as: 'a/b' is not a valid name; use letters, digits",),
        overrides=("stages.retrieval.register_as=a/b",),
    ),
    Case(
        "unknown choice of checkpoints",
        ("tracking.checkpoints: 'first' is not a valid value",),
        overrides=("tracking.checkpoints=first",),
    ),
    Case(
        "batch too small for matching",
        (
            "error: spec.yaml:8:90: stages.retrieval.batch_size: 1 is too small for ",
            ", which needs another sample as a negative; at least 2",
        ),
        spec=SPEC.replace("batch_size: 2", "batch_size: 1"),
    ),
    Case(
        "pretraining batch too small for matching",
        (
            "stages.pre.corpora.0.batch_size: 1 is too small for ",
            ", which needs another sample as a negative; at least 2",
        ),
        overrides=pretrain("itm", batch_size=1),
    ),
    Case(
        "parts of a batch for losses that compare its samples",
        (
            "stages.pre.accumulate: citc, itm would learn something else from parts of a batch than from the full one; to "
            "save memory set gradient_checkpointing: true, more workers or a smaller batch_size",
        ),
        overrides=(*pretrain("itm, cap, citc", batch_size=4), "stages.pre.accumulate=2"),
    ),
    Case(
        "parts of a batch in retrieval",
        ("stages.retrieval.accumulate: itc, itm would learn something else from parts of a batch than from the full one;",),
        overrides=("stages.retrieval.accumulate=2",),
    ),
    Case(
        "parts of a batch in self-critical training",
        ("stages.retrieval.accumulate: scst would learn something else",),
        overrides=("stages.retrieval.task=captioning", "stages.retrieval.self_critical=true", "stages.retrieval.accumulate=2"),
    ),
    Case(
        "sharded weights and generation in training",
        ("stages.retrieval.sharding: fsdp cannot be combined with scst, which generates captions in training",),
        overrides=("stages.retrieval.task=captioning", "stages.retrieval.self_critical=true", "stages.retrieval.sharding=fsdp"),
    ),
    Case(
        "sharded and compiled",
        ("stages.retrieval.sharding: fsdp cannot be combined with compile: true; leave out one of them",),
        overrides=("stages.retrieval.compile=true", "stages.retrieval.sharding=fsdp"),
    ),
    Case(
        "an EMA that forgets nothing",
        ("stages.retrieval.ema_decay: input should be less than 1, got 1",),
        overrides=("stages.retrieval.ema_decay=1",),
    ),
    Case(
        "more samples joined than a batch has",
        ("stages.pre.corpora.0: batch_size 4 is smaller than needed to concatenate 8 samples",),
        overrides=pretrain("ccap", batch_size=4, concatenate=8),
    ),
    Case(
        "objective twice",
        ("stages.pre.corpora.0.objectives: objective 'itc' is listed twice",),
        overrides=pretrain("itc, itc", batch_size=4),
    ),
    Case(
        "unknown objective",
        ("stages.pre.corpora.0.objectives.0: 'itn' is not a valid value; did you mean 'itm'?",),
        overrides=pretrain("itn", batch_size=4),
    ),
    Case(
        "vision encoder of another family",
        (
            "error: spec.yaml:10:27: model.vision: encoder 'resnet50' belongs to no family of image encoders; expected a timm "
            "name: swin_* (Swin) such as 'swin_base_patch4_window7_224', vit_*_clip_* (CLIP) such as",
        ),
        spec=SPEC + "model: {vision: {encoder: resnet50}}\n",
    ),
    Case(
        "width that heads cannot share",
        ("model.text: hidden_size 100 is not a multiple of num_attention_heads 12",),
        overrides=("model.text.hidden_size=100",),
    ),
    Case(
        "self-critical retrieval",
        ("stages.retrieval.self_critical: it belongs to captioning; the task is retrieval",),
        overrides=("stages.retrieval.self_critical=true",),
    ),
    Case(
        "soft accuracy of retrieval",
        ("stages.test.soft_accuracy: it belongs to question_answering; the tasks are retrieval",),
        overrides=("stages.test.soft_accuracy=true",),
    ),
    Case(
        "submission of retrieval",
        ("stages.test.submission: it belongs to question_answering; the tasks are retrieval",),
        overrides=("stages.test.submission=true",),
    ),
    Case(
        "submission on the split that selects the checkpoint",
        (
            "stages.test.submission: split 'val' has no answers, but answers selects its checkpoint by it; set "
            "stages.answers.validation_split, or leave out submission",
        ),
        spec=QUESTIONS,
        overrides=("stages.test.submission=true",),
    ),
    Case(
        "sweep without a split to select by",
        (
            "stages.retrieval.sweep: a sweep needs a split to select by, but dataset 'pictures' has none of validation, val, "
            "test with captions; set validation_split",
        ),
        spec=SPEC.replace(" val: ", " held: ").replace("split: val,", "split: held,"),
        overrides=sweep(),
    ),
    Case(
        "zero shot first without a split",
        ("stages.retrieval.zero_shot_first: there is no split to validate on: dataset 'pictures' has none of validation, val",),
        spec=SPEC.replace(" val: ", " held: ").replace("split: val,", "split: held,"),
        overrides=("stages.retrieval.zero_shot_first=true",),
    ),
    Case(
        "unknown metric of a sweep",
        (
            "stages.retrieval.sweep.metric: validation of retrieval computes no metric 'text_to_video_r_1'; did you mean "
            "'text_to_video_r1'?",
        ),
        overrides=sweep(metric="text_to_video_r_1"),
    ),
    Case(
        "metric of a sweep that is not computed",
        ("stages.retrieval.sweep.metric: video_to_text_r1 is only computed with video_to_text: true",),
        overrides=sweep(metric="video_to_text_r1"),
    ),
    Case(
        "sweep for the worst rank",
        ("stages.retrieval.sweep.mode: the best text_to_video_median_rank is the lowest one; write mode: min",),
        overrides=sweep(metric="text_to_video_median_rank, mode: max"),
    ),
    Case(
        "sweep for the worst recall",
        ("stages.retrieval.sweep.mode: the best text_to_video_r1 is the highest one; write mode: max",),
        overrides=sweep(mode="min"),
    ),
    Case(
        "unknown published metric",
        (
            "stages.test.published.text_to_video_r2: evaluation computes no metric 'text_to_video_r2'; did you "
            "mean 'text_to_video_r5'?",
        ),
        overrides=("stages.test.published={text_to_video_r2: 3}",),
    ),
]
