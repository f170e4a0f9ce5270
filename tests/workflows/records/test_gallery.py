"""The page of samples: which it shows, that it is one file, and that what files say stays text."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cosa.data import pictures
from cosa.data.dataset_files import DatasetFiles
from cosa.evaluation.query_scores import query_scores
from cosa.evaluation.sample_scores import SampleScores
from cosa.tasks.all_tasks import TASKS
from workflows.records import gallery
from workflows.records.gallery import Evaluated, write_gallery

CLIPS = 40
NAMES = [f"v{number}" for number in range(CLIPS)]
BAD = "</script><img src=x onerror=alert(1)> \u2028 & 'quoted' \"twice\" {{title}}"


@pytest.fixture
def dataset(tmp_path: Path) -> DatasetFiles:
    """Clips of six frames of noise, which no JPEG makes small."""
    generator = np.random.default_rng(0)
    for name in NAMES:
        (tmp_path / "frames" / name).mkdir(parents=True)
        for number in range(1, 7):
            noise = generator.integers(0, 256, (300, 400, 3), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / "frames" / name / f"frame_{number:04}.jpg", quality=30)
    return DatasetFiles("own", "video", "clips", str(tmp_path / "frames"), {})


def captions(accuracy: np.ndarray | None) -> Evaluated:
    rows = [{"video_id": name, "caption": f"caption {BAD}", "references": [f"reference of {name}"]} for name in NAMES]
    scores = SampleScores(NAMES, NAMES, {}, {"cider": accuracy}) if accuracy is not None else None
    return Evaluated(TASKS["captioning"], rows, scores, [{"label": "CIDEr", "value": "19.5", "interval": "1.0 to 2.0"}])


def content_of(page: Path) -> dict[str, Any]:
    [data] = re.findall(r'<script id="data" type="application/json">(.*?)</script>', page.read_text(), re.DOTALL)
    content: dict[str, Any] = json.loads(data)
    return content


def group(content: dict[str, Any], name: str) -> list[str]:
    return [sample["id"] for sample in content["samples"] if name in sample["groups"]]


def test_the_best_the_worst_and_random_samples_are_shown(tmp_path: Path, dataset: DatasetFiles) -> None:
    write_gallery(tmp_path / "a.html", "title", dataset, captions(np.arange(CLIPS, dtype=float)))
    content = content_of(tmp_path / "a.html")
    assert set(group(content, "best")) == set(NAMES[-10:])
    assert set(group(content, "worst")) == set(NAMES[:10])
    assert len(group(content, "random")) == 10
    assert len(content["samples"]) <= 30
    assert content["total"] == CLIPS
    best = next(sample for sample in content["samples"] if sample["id"] == "v39")
    assert (best["score"], best["score_text"], best["truth"]) == (39.0, "39.0", ["reference of v39"])
    assert content["judged"] == {"label": "CIDEr", "lower": False}


def test_a_seed_gives_the_same_page_and_equal_scores_are_drawn(tmp_path: Path, dataset: DatasetFiles) -> None:
    accuracy = np.where(np.arange(CLIPS) % 2 == 0, 100.0, 0.0)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_gallery(tmp_path / f"{name}.html", "title", dataset, captions(accuracy), seed)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    best = set(group(content_of(tmp_path / "a.html"), "best"))
    assert best <= set(NAMES[::2])
    assert best not in (set(NAMES[:20:2]), set(group(content_of(tmp_path / "c.html"), "best")))


def test_rankings_show_where_the_right_clip_stands(tmp_path: Path, dataset: DatasetFiles) -> None:
    rows, ranks = [], []
    for number, name in enumerate(NAMES):
        ranked = [NAMES[(number + shift) % CLIPS] for shift in range(10)] if number % 2 else NAMES[:10]
        rows.append({"text": f"text {number}", "video_id": name, "ranked": ranked, "scores": [0.5] * 10})
        ranks.append(ranked.index(name) + 1 if name in ranked else number)
    scores = query_scores(rows, {"text_to_video": np.array(ranks)})
    write_gallery(tmp_path / "a.html", "title", dataset, Evaluated(TASKS["retrieval"], rows, scores))
    content = content_of(tmp_path / "a.html")
    assert content["judged"] == {"label": "rank", "lower": True}
    assert all(sample["score"] == 1 for sample in content["samples"] if "best" in sample["groups"])
    assert all(sample["score"] > 1 for sample in content["samples"] if "worst" in sample["groups"])
    for sample in content["samples"]:
        assert len(sample["ranked"]) == 5
        assert [one["right"] for one in sample["ranked"]] == [one["clip"] == sample["clip"] for one in sample["ranked"]]
        assert all(one["clip"] in content["clips"] for one in sample["ranked"])
        assert len(content["clips"][sample["clip"]]) == 4


def test_the_worst_are_of_different_clips(tmp_path: Path, dataset: DatasetFiles) -> None:
    names = [name for name in NAMES[:12] for _ in range(3)]
    rows = [{"video_id": name, "question_id": None, "question": "q", "answer": "a", "expected": ["b"]} for name in names]
    values = {"accuracy": np.arange(36, dtype=float)}
    scores = SampleScores([f"q{number}" for number in range(36)], names, {}, values)
    write_gallery(tmp_path / "a.html", "title", dataset, Evaluated(TASKS["question_answering"], rows, scores))
    assert set(group(content_of(tmp_path / "a.html"), "worst")) == {f"q{3 * number}" for number in range(10)}
    assert set(group(content_of(tmp_path / "a.html"), "best")) == {f"q{3 * number + 2}" for number in range(2, 12)}


def test_samples_without_scores_are_random_ones(tmp_path: Path, dataset: DatasetFiles) -> None:
    write_gallery(tmp_path / "a.html", "title", dataset, captions(None))
    content = content_of(tmp_path / "a.html")
    assert content["judged"] is None
    assert [sample["groups"] for sample in content["samples"]] == [["random"]] * 10


def test_texts_stay_texts_and_nothing_comes_from_elsewhere(tmp_path: Path, dataset: DatasetFiles) -> None:
    write_gallery(tmp_path / "a.html", f"{BAD}{{{{data}}}}", dataset, captions(np.zeros(CLIPS)))
    page = (tmp_path / "a.html").read_text()
    assert page.count("</script>") == 2
    assert "<img" not in page
    assert content_of(tmp_path / "a.html")["samples"][0]["said"] == f"caption {BAD}"
    assert "innerHTML" not in page
    assert "default-src 'none'" in page
    assert not re.search(r"https?:|//[a-z]+\.", page.replace("data:image", ""))


def test_a_page_stays_small(tmp_path: Path, dataset: DatasetFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "MOST_BYTES", 200_000)
    write_gallery(tmp_path / "a.html", "title", dataset, captions(np.arange(CLIPS, dtype=float)))
    content = content_of(tmp_path / "a.html")
    assert (tmp_path / "a.html").stat().st_size < 250_000
    assert 0 < content["without_frames"] < len(content["samples"])
    assert sum(not frames for frames in content["clips"].values()) == content["without_frames"]


def test_only_frames_of_shown_clips_are_read(tmp_path: Path, dataset: DatasetFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    real = pictures.read_picture
    monkeypatch.setattr(pictures, "read_picture", lambda path, *rest: read.append(path) or real(path, *rest))
    write_gallery(tmp_path / "a.html", "title", dataset, captions(np.arange(CLIPS, dtype=float)))
    shown = content_of(tmp_path / "a.html")["clips"]
    assert len(read) == 4 * len(shown)
    assert {path.parent.name for path in read} == set(shown)
