"""Which clips differ from those of an earlier result."""

import json
from pathlib import Path

import pytest

from cosa.data.media_lookup import Clips
from cosa.data.stored_frames import StoredFrames
from tests.workflows.planning.planned import CAPTIONS, lay_out, plan, publish, reasons
from workflows.planning.plan import Plan, digests_in
from workflows.planning.step import Step
from workflows.results.layout import CLIPS_LIST, UNREADABLE_FILE


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return lay_out(tmp_path, monkeypatch)


def extract(made: Plan, unreadable: tuple[str, ...] = ()) -> None:
    """Leave behind what an extraction leaves behind."""
    step: Step = next(step for step in made.steps if step.name == "own-frames")
    publish(made, step)
    clips, problems = digests_in(made.storage).contents_of(Clips(Path("own/clips")), ["v0", "v1", "v2"])
    assert not problems
    folder = made.storage.result(step.name, str(step.fingerprint))
    read = {clip: content for clip, content in clips.items() if clip not in unreadable}
    StoredFrames.of(Path("store"), "way", read).write(folder / CLIPS_LIST)
    (folder / UNREADABLE_FILE).write_text("".join(f"{clip}\n" for clip in unreadable))


def test_clips_are_named(here: Path) -> None:
    extract(plan())
    new = [{"video_id": f"x{i}", "desc": "x"} for i in range(4)]
    for entry in new:
        Path(f"own/clips/{entry['video_id']}.mp4").touch()
    Path("own/clips/v1.mp4").write_text("another")
    for split in ("train", "val", "spare"):
        Path(f"own/{split}.json").write_text(json.dumps([*CAPTIONS[:2], *new]))
    assert reasons(plan())["own-frames"] == "data changed: own/clips (4 new: x0, x1, x2, ..., 1 changed: v1, 1 gone: v2)"


def test_clips_that_were_left_out_are_not_new(here: Path) -> None:
    extract(plan("stages.own-frames.max_unreadable=1"), unreadable=("v2",))
    Path("own/clips/v1.mp4").write_text("another")
    why = reasons(plan("stages.own-frames.max_unreadable=1"))["own-frames"]
    assert why == "data changed: own/clips (1 changed: v1)"


def test_a_damaged_list_says_nothing(here: Path) -> None:
    made = plan()
    extract(made)
    (listed,) = made.storage.folder.glob(f"own-frames/*/{CLIPS_LIST}")
    listed.write_text("[")
    Path("own/clips/v1.mp4").write_text("another")
    assert reasons(plan())["own-frames"] == "data changed: own/clips"
