import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cosa.errors import DataError
from cosa.evaluation import scores as module
from cosa.evaluation.retrieval_metrics import (
    Ties,
    retrieval_chance,
    retrieval_metrics,
    text_to_video_ranks,
    video_to_text_chance,
    video_to_text_ranks,
)


def oracle_ranks(scores: np.ndarray, right: set[int], ties: str) -> int:
    """Rank of the best right item of one list: by sorting, wrong items first among equals if pessimistic."""

    def key(i: int) -> tuple[float, bool, int]:
        return (-scores[i], i in right and ties == "pessimistic", i)

    order = sorted(range(len(scores)), key=key)
    return 1 + min(order.index(i) for i in right)


@st.composite
def matrices(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    num_videos = draw(st.integers(1, 7))
    extra = draw(st.lists(st.integers(0, num_videos - 1), max_size=6))
    owners = np.array(draw(st.permutations([*range(num_videos), *extra])))
    values = st.sampled_from([-np.inf, -1.0, 0.0, 0.25, 1.0])  # few values: many ties
    scores = draw(arrays.arrays(np.float32, (len(owners), num_videos), elements=values))
    return scores, owners


@given(matrices(), st.sampled_from(["pessimistic", "index"]), st.integers(1, 20))
def test_ranks_agree_with_sorting_whatever_the_chunk_size(case: tuple[np.ndarray, np.ndarray], ties: Ties, cells: int) -> None:
    scores, owners = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CELLS_PER_CHUNK", cells)
        text_ranks = text_to_video_ranks(scores, owners, ties=ties)
        video_ranks = video_to_text_ranks(scores, owners, ties=ties)
    assert text_ranks.tolist() == [oracle_ranks(row, {int(v)}, ties) for row, v in zip(scores, owners, strict=True)]
    own_texts = [set(np.flatnonzero(owners == video).tolist()) for video in range(scores.shape[1])]
    assert video_ranks.tolist() == [oracle_ranks(scores[:, v], texts, ties) for v, texts in enumerate(own_texts)]


def test_hand_computed_example_with_two_captions_for_one_video() -> None:
    scores = np.array([[0.9, 0.1, 0.2], [0.3, 0.2, 0.8], [0.1, 0.7, 0.6], [0.9, 0.8, 0.1]])
    metrics = retrieval_metrics(scores, np.array([0, 0, 1, 2]), video_to_text=True)
    # Ranks of the right video: 1, 2, 1, 3. Best own text of video 0: row 0 ties with row 3 (wrong): 2; 1: row 2 behind
    # row 3: 2; 2: row 3 is last: 4.
    assert metrics == pytest.approx(
        {
            "text_to_video_r1": 50.0,
            "text_to_video_r5": 100.0,
            "text_to_video_r10": 100.0,
            "text_to_video_mean_r": 250 / 3,
            "text_to_video_median_rank": 1.5,
            "text_to_video_mean_rank": 1.75,
            "video_to_text_r1": 0.0,
            "video_to_text_r5": 100.0,
            "video_to_text_r10": 100.0,
            "video_to_text_mean_r": 200 / 3,
            "video_to_text_median_rank": 2.0,
            "video_to_text_mean_rank": 8 / 3,
        }
    )


def test_constant_scores_earn_nothing_unless_ties_follow_the_index() -> None:
    scores, owners = np.zeros((20, 20), dtype=np.float16), np.arange(20)
    assert retrieval_metrics(scores, owners)["text_to_video_r10"] == 0.0
    assert retrieval_metrics(scores, owners, ties="index")["text_to_video_r10"] == 50.0


def test_video_that_was_not_rescored_ranks_behind_all_zeros() -> None:
    scores = np.array([[0.0, 0.9, 0.8, 0.0, 0.0]])
    assert text_to_video_ranks(scores, np.array([0])).tolist() == [5]
    assert text_to_video_ranks(scores, np.array([0]), ties="index").tolist() == [3]


def test_text_to_video_alone_does_not_need_a_text_for_every_video() -> None:
    scores, owners = np.eye(3)[:2], np.array([0, 1])
    assert retrieval_metrics(scores, owners)["text_to_video_r1"] == 100.0
    with pytest.raises(DataError, match=r"1 of 3 videos have no text \(first: column 2\)"):
        retrieval_metrics(scores, owners, video_to_text=True)


@pytest.mark.parametrize(
    ("scores", "owners", "message"),
    [
        (np.array([[0.1, np.nan]]), np.array([0]), "text 0 and video 1 is NaN"),
        (np.zeros((2, 2)), np.array([0, 2]), "Text 1 belongs to video 2"),
        (np.zeros((2, 2)), np.array([0, -1]), "Text 1 belongs to video -1"),
        (np.zeros((2, 2)), np.array([0]), "for each of the 2 texts"),
        (np.zeros((2, 2)), np.array([0.0, 1.0]), "expected one integer"),
        (np.zeros((0, 2)), np.array([], dtype=int), "non-empty matrix"),
        (np.zeros(3), np.array([0]), "non-empty matrix"),
    ],
)
def test_unusable_input_is_named(scores: np.ndarray, owners: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        retrieval_metrics(scores, owners)


def test_chance_of_the_other_direction_matches_random_scores() -> None:
    """With one to four texts a video."""
    generator = np.random.default_rng(4)
    owner = np.repeat(np.arange(20), np.arange(20) % 4 + 1)
    found = [retrieval_metrics(generator.random((len(owner), 20)), owner, video_to_text=True) for _ in range(300)]
    for name, chance in video_to_text_chance(np.bincount(owner).tolist()).items():
        assert np.mean([one[name] for one in found]) == pytest.approx(chance, rel=0.05), name
    assert video_to_text_chance([1, 1])["video_to_text_r5"] == 100.0


def test_chance_of_galleries_of_several_sizes() -> None:
    chance = retrieval_chance([2, 8])
    assert chance["text_to_video_r1"] == pytest.approx(100 * (1 / 2 + 1 / 8) / 2)
    assert chance["text_to_video_r5"] == pytest.approx(100 * (1 + 5 / 8) / 2)
    assert chance["text_to_video_mean_rank"] == 3.0
    assert "text_to_video_median_rank" not in chance


def test_chance_is_capped_and_matches_random_scores() -> None:
    assert retrieval_chance([4]) == pytest.approx(
        {"text_to_video_r1": 25, "text_to_video_r5": 100, "text_to_video_r10": 100, "text_to_video_mean_r": 75}
        | {"text_to_video_median_rank": 2.5, "text_to_video_mean_rank": 2.5}
    )
    scores = np.random.default_rng(0).random((4000, 50))
    measured = retrieval_metrics(scores, np.arange(4000) % 50)
    for name, chance in retrieval_chance([50] * 4000).items():
        assert measured[name] == pytest.approx(chance, abs=2.0)
    with pytest.raises(DataError):
        retrieval_chance([0])
