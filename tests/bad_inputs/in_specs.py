"""Mistakes in single fields, in the files that a spec is made of, and in what is filled in."""

from __future__ import annotations

from tests.bad_inputs.cases import SPEC, Case, said

FIELDS = [
    Case(
        "unknown field at the top",
        said(
            "error: spec.yaml:10:1: modle: unknown field; did you mean 'model'?",
            "  10 | modle: {}",
            "     | ^",
        ),
        spec=SPEC + "modle: {}\n",
    ),
    Case(
        "unknown nested field",
        said(
            "error: spec.yaml:10:18: model.vision.resolutoin: unknown field; did you mean 'resolution'?",
            "  10 | model: {vision: {resolutoin: 64}}",
            "     |                  ^",
        ),
        spec=SPEC + "model: {vision: {resolutoin: 64}}\n",
    ),
    Case(
        "unknown field of a stage",
        ("error: spec.yaml:8:93: stages.retrieval.epoch: unknown field; did you mean 'epochs'?",),
        spec=SPEC.replace("batch_size: 2}", "batch_size: 2, epoch: 3}"),
    ),
    Case(
        "field of stages at the top",
        (
            "rerank=3: rerank: unknown field; did you mean stages.retrieval.rerank or stages.test.rerank?",
            "epochs=3: epochs: unknown field; did you mean stages.retrieval.epochs?",
        ),
        overrides=("epochs=3", "rerank=3"),
    ),
    Case(
        "stage at the top",
        ("error: --set retrieval.epochs=3: retrieval: unknown field; did you mean stages.retrieval.epochs?",),
        overrides=("retrieval.epochs=3",),
    ),
    Case(
        "wrong value that --set puts into a mapping of the file",
        ("error: --set model.vision.encoder=resnet50: model.vision: encoder 'resnet50' belongs to no family",),
        spec=SPEC + "model: {vision: {encoder: swin_base_patch4_window7_224}}\n",
        overrides=("model.vision.encoder=resnet50",),
    ),
    Case(
        "wrong value in a mapping",
        said(
            "",
            "  10 | model: {vision: {resolution: 64, encoder: resnet50}}",
            "     |                                           ^",
        ),
        spec=SPEC + "model: {vision: {resolution: 64, encoder: resnet50}}\n",
    ),
    Case(
        "wrong type",
        (
            "error: spec.yaml:8:75: stages.retrieval.epochs: input should be a valid number, unable to parse string as a "
            "number, got 'many'",
        ),
        spec=SPEC.replace("epochs: 1", "epochs: many"),
    ),
    Case(
        "mapping where a number belongs",
        ("error: spec.yaml:8:75: stages.retrieval.epochs: input should be a valid number, got a mapping",),
        spec=SPEC.replace("epochs: 1", "epochs: {a: 1}"),
    ),
    Case(
        "none of several types",
        ("error: --set cluster.workers=none: cluster.workers: input should be a valid integer or 'auto', got 'none'",),
        overrides=("cluster.workers=none",),
    ),
    Case(
        "required field missing",
        (
            "error: spec.yaml:8:3: stages.retrieval.epochs: this field is missing (passes over the training split, each in as "
            "many full batches as it has; fractions are allowed)",
        ),
        spec=SPEC.replace(" epochs: 1,", ""),
    ),
    Case(
        "not one of the choices",
        ("error: spec.yaml:8:37: stages.retrieval.task: 'retreival' is not a valid value; did you mean 'retrieval'?",),
        spec=SPEC.replace("task: retrieval", "task: retreival"),
    ),
    Case(
        "name that cannot be a folder",
        (
            "error: spec.yaml:1:7: name: '../bad' is not a valid name; use letters, digits, '.', '-' and '_', a letter or "
            "digit first, at most 64",
        ),
        spec=SPEC.replace("name: bad", "name: ../bad"),
    ),
    Case(
        "dot in a split's name",
        (
            "error: spec.yaml:6:33: datasets.pictures.splits: name 'val.1': use letters, digits, '-' and '_', a letter or "
            "digit first, at most 64 (--set could not name a dot)",
        ),
        spec=SPEC.replace(" val:", " val.1:"),
    ),
    Case(
        "credentials in a bucket's address",
        (
            "error: --set cluster.checkpoint_storage=s3://team/x?secret_key=***: cluster.checkpoint_storage: credentials do "
            "not belong in a spec; leave them out and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write "
            "~/.aws/credentials, on every node",
        ),
        overrides=("cluster.checkpoint_storage=s3://team/x?secret_key=a",),
    ),
    Case(
        "folder where a bucket belongs",
        (
            "error: --set cluster.checkpoint_storage=/mnt/team: cluster.checkpoint_storage: '/mnt/team' is not the address of "
            "a bucket; expected s3://BUCKET/PREFIX, and for a server of your own ?endpoint_override=HOST:PORT&scheme=http",
        ),
        overrides=("cluster.checkpoint_storage=/mnt/team",),
    ),
    Case(
        "several mistakes at once, in the order of the lines",
        said(
            "error: spec.yaml:1:7: name: input should be a valid string, got 3",
            "  1 | name: 3",
            "    |       ^",
            "spec.yaml:8:75: stages.retrieval.epochs: input should be greater than 0, got 0",
            "  8 |   retrieval: {kind: finetune, task: retrieval, dataset: pictures, epochs: 0, batch_size: 2}",
            "    |                                                                           ^",
            "spec.yaml:9:58: stages.test.dataset: no dataset 'picture'; did you mean 'pictures'?",
        ),
        spec=SPEC.replace("bad", "3")
        .replace("epochs: 1", "epochs: 0")
        .replace("dataset: pictures, split", "dataset: picture, split"),
    ),
]

SPEC_FILES = [
    Case(
        "no spec file",
        ("error: no spec file other.yaml (looked in {tmp}); `cosa init` copies one",),
        arguments=("plan", "other.yaml"),
    ),
    Case(
        "name of a spec instead of its path",
        ("error: no spec file own-clips (looked in {tmp}); is it experiments/own-clips.yaml?",),
        files={"experiments/own-clips.yaml": SPEC},
        arguments=("plan", "own-clips"),
    ),
    Case(
        "name of a spec in a folder of one's own",
        ("error: no spec file own-clips (looked in {tmp}); is it mine/own-clips.yaml?",),
        files={"mine/own-clips.yaml": SPEC},
        arguments=("plan", "own-clips"),
    ),
    Case(
        "path of a spec spelled otherwise",
        ("is it mine/own-clips.yaml?",),
        files={"mine/own-clips.yaml": SPEC, "experiments/own-clip.yaml": SPEC},
        arguments=("plan", "mine/own-clip.yaml"),
    ),
    Case(
        "colon missing before braces",
        ("error: spec.yaml:8:34: invalid YAML: mapping values are not allowed here; a colon is missing after 'retrieval'",),
        spec=SPEC.replace("retrieval: {", "retrieval {"),
    ),
    Case(
        "colon missing before braces with one field",
        ("error: spec.yaml:10:3: a colon is missing after 'more'",),
        spec=SPEC + "  more {kind: extract}\n",
    ),
    Case("spec is a folder", ("error: images is a folder, not a file; expected a YAML file",), arguments=("plan", "images")),
    Case("spec is empty", ("error: spec.yaml:1:1: the file is empty; expected a spec",), spec=""),
    Case(
        "spec is a list",
        ("error: spec.yaml:1:1: expected a mapping of fields at the top (name:, stages:, ...)",),
        spec="[1]",
    ),
    Case(
        "no stages",
        ("error: spec.yaml:1:1: stages: expected at least one stage, as NAME: {kind: ..., ...}",),
        spec="name: bad\n",
    ),
    Case(
        "extends a missing file",
        ("error: spec.yaml:1:10: extends: no file base/none.yaml (paths are relative to this file)",),
        spec="extends: base/none.yaml\n" + SPEC,
    ),
    Case(
        "extends leads back",
        said(
            "error: a.yaml:1:10: extends: spec.yaml leads back to this file",
            "  1 | extends: spec.yaml",
            "    |          ^",
        ),
        spec="extends: a.yaml\n" + SPEC,
        files={"a.yaml": "extends: spec.yaml\n"},
    ),
    Case(
        "bracket not closed",
        said(
            "error: spec.yaml:10:17: invalid YAML: while parsing a flow sequence: expected ',' or ']', but got '<stream end>'",
            "  10 | model: {vision: [1, 2",
            "     |                 ^",
        ),
        spec=SPEC + "model: {vision: [1, 2\n",
    ),
    Case(
        "tab in YAML",
        ("error: spec.yaml:3:1: invalid YAML: a tab; indent with spaces\n",),
        spec="name: bad\nstages:\n\ttest: {}\n",
    ),
    Case(
        "key twice",
        ("error: spec.yaml:10:1: 'name' appears twice (first on line 1); keep one",),
        spec=SPEC + "name: other\n",
    ),
    Case(
        "YAML that contains itself",
        ("error: spec.yaml:1:7: a value contains itself",),
        spec="name: &a [*a]\n",
    ),
]

VALUES = [
    Case(
        "infinite number",
        ("stages.retrieval.learning_rate: ", "finite number"),
        overrides=("stages.retrieval.learning_rate=.inf",),
    ),
    Case(
        "address of no cluster",
        ("cluster.address: ",),
        overrides=("cluster.address=somewhere",),
    ),
    Case(
        "Swin whose lists differ in length",
        ("depth and num_heads of a Swin encoder are lists of one length: a number a stage",),
        overrides=("model.vision.depth=[1, 1]", "model.vision.num_heads=[1, 1, 1]"),
    ),
    Case(
        "unquoted ${...} in braces",
        (
            "error: spec.yaml:2:30: invalid YAML: while parsing a flow mapping: expected ',' or '}', but got '{'; inside "
            '{...} and [...] a value with ${...} needs quotes: "${paths.data}/clips"',
        ),
        spec="paths: {data: d}\ndatasets: {pictures: {root: ${paths.data}/x}}\n",
    ),
    Case(
        "environment variable not set",
        (
            "error: spec.yaml:5:11: environment variable COSA_TEST_UNSET is not set; set it, or write "
            "${env:COSA_TEST_UNSET:-default}",
        ),
        spec=SPEC.replace("root: images", "root: ${env:COSA_TEST_UNSET}/images"),
    ),
    Case(
        "value that refers to itself",
        ("error: spec.yaml:10:12: ${paths.b} refers to itself: paths.b -> paths.a -> paths.b",),
        spec=SPEC + 'paths: {a: "${paths.b}", b: "x/${paths.a}"}\n',
    ),
    Case(
        "reference to no field",
        ("error: spec.yaml:5:11: ${paths.dta}: the spec has no field 'paths.dta'; did you mean 'paths.data'?",),
        spec=SPEC.replace("root: images", "root: ${paths.dta}") + "paths: {data: images}\n",
    ),
    Case(
        "mapping inside a text",
        ("error: spec.yaml:5:11: ${paths} is a mapping; only a single value can be part of a text",),
        spec=SPEC.replace("root: images", "root: ${paths}/x") + "paths: {data: images}\n",
    ),
    Case(
        "--set without a value",
        ("error: --set stages.retrieval.epochs: expected NAME=VALUE, such as stages.retrieval.epochs=2",),
        overrides=("stages.retrieval.epochs",),
    ),
    Case(
        "--set of what is inherited",
        ("error: --set extends=other.yaml: extends is read before any --set; write it in a spec file and run that",),
        overrides=("extends=other.yaml",),
    ),
    Case(
        "--set below a number",
        ("error: --set stages.retrieval.epochs.x=1: stages.retrieval.epochs is a single value; it has no field 'x'",),
        overrides=("stages.retrieval.epochs.x=1",),
    ),
    Case(
        "--set beyond a list",
        ("error: --set stages.test.tasks.3=captioning: stages.test.tasks is a list of 1; '3' is not an index in it",),
        overrides=("stages.test.tasks.3=captioning",),
    ),
    Case(
        "--set of a misspelt stage",
        ("error: --set stages.retrievel.epochs=2: no stage 'retrievel'; did you mean 'retrieval'?",),
        overrides=("stages.retrievel.epochs=2",),
    ),
    Case(
        "--set of a misspelt dataset",
        ("error: --set datasets.picture.root=elsewhere: no dataset 'picture'; did you mean 'pictures'?",),
        overrides=("datasets.picture.root=elsewhere",),
    ),
    Case(
        "--set of a misspelt path",
        ("error: --set paths.dta=elsewhere: no path 'dta'; did you mean 'data'?",),
        spec=SPEC.replace("root: images", "root: ${paths.data}") + "paths: {data: images}\n",
        overrides=("paths.dta=elsewhere",),
    ),
    Case(
        "--set of invalid YAML",
        ("error: --set model={vision: : invalid YAML: while parsing a flow node: expected the node content",),
        overrides=("model={vision: ",),
    ),
]
