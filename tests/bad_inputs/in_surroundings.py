"""Mistakes in annotations, folders, results and arguments."""

from __future__ import annotations

from tests.bad_inputs.cases import ANSWERS, CAPTIONS, QUESTIONS, SPEC, Case

ANNOTATIONS = [
    Case("no entries", ("error: train.json holds no entries; expected at least one",), files={"train.json": "[]"}, code=1),
    Case(
        "fewer samples than a batch of the default size",
        (
            "error: train.json has 4 samples, fewer than a batch of stage retrieval (64, the default); set "
            "stages.retrieval.batch_size",
        ),
        spec=SPEC.replace(", batch_size: 2", ""),
        code=1,
    ),
    Case(
        "fewer samples than a batch",
        ("error: train.json has 4 samples, fewer than a batch of stage retrieval (6); lower batch_size",),
        overrides=("stages.retrieval.batch_size=6",),
        code=1,
    ),
    Case(
        "empty file",
        ("error: train.json is empty; expected a JSON list of entries",),
        files={"train.json": ""},
        code=1,
    ),
    Case(
        "a table, whose stages are blocked",
        (
            "error: train.json, line 1: found 'video_id,caption\\n', expected a JSON list of entries; name a table .csv "
            "or .tsv",
            "blocked  wrong: train.json",
            "blocked  needs retrieval",
        ),
        files={"train.json": "video_id,caption\n"},
        code=1,
    ),
    Case(
        "a batch that nothing can split",
        ("blocked  wrong: its batches",),
        overrides=("cluster.workers=2", "cluster.cpus=2", "stages.retrieval.batch_size=3"),
        code=1,
    ),
    Case(
        "not text",
        ("error: train.json, line 1: not UTF-8 text (byte 0); save it as UTF-8 (iconv -f ENCODING -t UTF-8)",),
        files={"train.json": "\udcff"},
        code=1,
    ),
    Case(
        "invalid JSON",
        ("error: train.json, line 2: invalid JSON, found '\"desc\": \"x\"}]' (Expecting ',' delimiter)",),
        files={"train.json": '[{"video_id": "v0", "desc": "x"},\n {"video_id": "v1" "desc": "x"}]'},
        code=1,
    ),
    Case(
        "field of an entry missing",
        ('error: train.json, line 2 (entry 2): field "desc" (or "caption") is missing; found the fields \'video_id, words\'',),
        files={"train.json": '[{"video_id": "v0", "desc": "x"},\n {"video_id": "v1", "words": "x"}]'},
        code=1,
    ),
    Case(
        "name that leaves the media folder",
        (
            'error: train.json, line 1 (entry 1): field "video_id" \'../v0\' leads out of the media folder (part ".."); '
            "expected a relative name such as video7 or a/b",
        ),
        files={"train.json": '[{"video_id": "../v0", "desc": "x"}]'},
        code=1,
    ),
    Case(
        "half a character in a caption",
        (
            "error: train.json, line 1 (entry 1): field \"desc\" 'a \\ud83d smile' is not valid Unicode text (half of a "
            "character above U+FFFF); correct it",
        ),
        files={"train.json": '[{"video_id": "v0", "desc": "a \\ud83d smile"}]'},
        code=1,
    ),
    Case(
        "mistakes in two files",
        (
            'error: train.json, line 1 (entry 1): field "desc" is empty, expected text; correct or remove the entry\n'
            "val.json is empty; expected a JSON list of entries",
        ),
        files={"train.json": '[{"video_id": "v0", "desc": ""}]', "val.json": ""},
        code=1,
    ),
    Case(
        "captions where questions belong",
        (
            "error: questions.json holds captions, but stage answers needs questions; set "
            "datasets.pictures.splits.train.questions",
        ),
        spec=QUESTIONS,
        files={"questions.json": CAPTIONS},
        code=1,
    ),
    Case(
        "questions where captions belong",
        ("error: val.json holds questions, but stage retrieval needs captions; set datasets.pictures.splits.val.captions",),
        files={"val.json": ANSWERS},
        code=1,
    ),
]

RUN = ("run-experiment", "spec.yaml")
ELSEWHERE = (
    SPEC.replace("root: images", "root: ${paths.data}/p/images")
    .replace("train: train.json", 'train: "${paths.data}/p/train.json"')
    .replace("val: val.json", 'val: "${paths.data}/p/val.json"')
    + "paths: {data: '${env:COSA_TEST_UNSET:-data}'}\n"
)
SURROUNDINGS = [
    Case(
        "media folder missing",
        (
            "missing: datasets.pictures.root: no folder {tmp}/pictures, given relative to the working directory"
            "\nerror: 1 thing is missing; nothing was run",
            "blocked  missing: data of dataset pictures",
        ),
        overrides=("datasets.pictures.root=pictures",),
        arguments=RUN,
        code=1,
    ),
    Case(
        "media folder misspelt",
        ("missing: datasets.pictures.root: no folder {tmp}/image, given relative to the working directory; is it images?",),
        overrides=("datasets.pictures.root=image",),
        code=1,
    ),
    Case(
        "annotation file missing, reported once although two stages read it",
        (
            "missing: datasets.pictures.splits.val: no file {tmp}/val.json, given relative to the working directory"
            "\nerror: 1 thing is missing; nothing was run",
        ),
        files={"val.json": None},
        arguments=RUN,
        code=1,
    ),
    Case(
        "full dataset missing: one line",
        (
            "missing: datasets.pictures: no folder {tmp}/data/p, given relative to the working directory"
            " (root, train and val annotations); put the data there or set "
            "COSA_TEST_UNSET / --set paths.data=FOLDER\nerror: 1 thing is missing; nothing was run",
        ),
        spec=ELSEWHERE,
        arguments=RUN,
        code=1,
    ),
    Case(
        "checkpoint missing",
        (
            "missing: stages.retrieval.init_from: no checkpoint {tmp}/nowhere, given relative to the working directory"
            " (expected model.safetensors in it, or a "
            "published checkpoint)",
        ),
        overrides=("stages.retrieval.init_from=./nowhere",),
        arguments=RUN,
        code=1,
    ),
    Case(
        "file of weights missing",
        ("missing: model.vision.pretrained: no file {tmp}/swin.pth, given relative to the working directory",),
        overrides=("model.vision.pretrained=swin.pth",),
        arguments=RUN,
        code=1,
    ),
    Case(
        "storage cannot be written",
        (
            "error: storage: {tmp}/val.json/bad cannot be written (Not a directory); choose another folder with `storage:` in "
            "the spec or --set storage=FOLDER",
        ),
        overrides=("storage=val.json",),
        arguments=RUN,
        code=1,
    ),
    Case(
        "unknown stage to force",
        ("error: --force: no stage 'tset'; did you mean 'test'?",),
        arguments=(*RUN, "--force", "tset"),
    ),
    Case(
        "unknown stage to select",
        ("error: --only: no stage 'nosuch'; known: retrieval, test",),
        arguments=(*RUN, "--only", "nosuch"),
    ),
    Case(
        "no stage is selected",
        ("error: no stage is selected by all of --until retrieval --only test; the stages are retrieval, test",),
        arguments=(*RUN, "--until", "retrieval", "--only", "test"),
    ),
    Case(
        "sweep without values",
        ("error: --sweep epochs: expected NAME=VALUE,VALUE, such as stages.pretrain.concatenate=1,2,4",),
        arguments=(*RUN, "--sweep", "epochs"),
    ),
    Case(
        "sweep of an unknown field",
        ("error: --sweep retrieval.epochs=1: retrieval: unknown field; did you mean stages.retrieval.epochs?",),
        arguments=(*RUN, "--sweep", "retrieval.epochs=1,2"),
    ),
    Case(
        "unknown template",
        ("error: no template 'own-clip'; did you mean 'own-clips'?",),
        arguments=("init", "own-clip"),
    ),
    Case(
        "nothing recorded for the UI",
        ("error: no MLflow records in {tmp}/storage (no mlflow.db); run an experiment first, or set --storage",),
        arguments=("ui",),
        code=1,
    ),
    Case(
        "no such section",
        ("error: no section or field 'finetun'; did you mean 'finetune'?",),
        arguments=("schema", "finetun"),
    ),
    Case("unknown command", ("No such command 'run'. Did you mean 'run-experiment'?",), arguments=("run", "spec.yaml")),
    Case("unknown option", ("No such option: --sett",), arguments=("plan", "spec.yaml", "--sett", "a=1")),
]
