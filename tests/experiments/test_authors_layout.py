"""Every published spec finds what it reads in stand-ins of the authors' files, which its converters read."""

from pathlib import Path

import pytest

from cosa.data.annotations import load_captions, load_questions, load_references
from cosa.datasets.converters import CONVERTERS, CORPORA
from tests.cosa.datasets.authors.samples import CLIPS
from tests.experiments.test_published import EXPERIMENTS, FILES
from workflows.spec.load import load_spec
from workflows.stages.prepare import PrepareSection

SUFFIXES = {"video": ".mp4", "image": ".jpg"}


@pytest.mark.parametrize("file", FILES)
def test_converters_write_what_the_spec_reads(file: str, tmp_path: Path) -> None:
    experiment = load_spec(EXPERIMENTS / file, environment={"COSA_DATA": str(tmp_path)})
    made: dict[str, Path] = {}
    for name, stage in experiment.stages.items():
        if isinstance(stage, PrepareSection):
            _write_source(stage)
            made[name] = tmp_path / "results" / name
            made[name].mkdir(parents=True)
            CONVERTERS[stage.converter].run(made[name], stage.options)
    assert made
    for dataset in experiment.section.datasets.values():
        if dataset.made_by is None:
            assert "distcc4m" in dataset.root  # which nobody publishes
            continue
        folder = made[dataset.made_by]
        assert (folder / dataset.root).is_dir()
        for split in dataset.splits.values():
            if split.references is not None:
                assert load_references(folder / split.references)
            if split.questions is not None and "_qa" in split.questions:  # A plain path stands for captions, too.
                is_for_server = file.startswith("qa/vqav2") and "test" in split.questions
                assert load_questions(folder / split.questions, require_answers=not is_for_server)
            elif split.captions is not None:
                assert load_captions(folder / split.captions)


def _write_source(stage: PrepareSection) -> None:
    """Write the authors' files and empty media where the stage looks for them."""
    corpus, source = CORPORA[stage.converter], Path(stage.options["source"])
    source.mkdir(parents=True, exist_ok=True)
    for name in filter(None, corpus.write_sample(source, CLIPS)):
        if "frames" in stage.options:
            (Path(stage.options["frames"]) / name).mkdir(parents=True)
        else:
            path = Path(stage.options["media"]) / f"{name}{SUFFIXES[corpus.CORPUS.media]}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
