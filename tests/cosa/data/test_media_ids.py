from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosa.data.media_ids import canonical, check_media_id
from cosa.errors import DataError


@pytest.mark.parametrize("video_id", ["video7", "a/b", "x.y-z_1", "über", "v 1", "-_abc", "a..b", "12:30"])
def test_usual_media_ids_pass(video_id: str) -> None:
    check_media_id(video_id)


@pytest.mark.parametrize(
    "video_id",
    [
        "",
        " ",
        ".",
        "..",
        "../a",
        "a/../b",
        "a/..",
        "/etc/passwd",
        "a//b",
        "a/",
        "a\0b",
        "a\\b",
        "C:/x",
        "a\n",
        "x" * 256,
        "a\x85b",
        "a\u2028b",
        "a\x1b[2Jb",
    ],
)
def test_unsafe_media_ids_are_refused(video_id: str) -> None:
    with pytest.raises(DataError, match="media identifier"):
        check_media_id(video_id)


@given(st.lists(st.sampled_from(["a", "..", ".", "", "/", "\\", "\0", "b.c", "C:"]), max_size=6).map("/".join) | st.text())
def test_accepted_media_ids_stay_inside_the_folder(video_id: str) -> None:
    try:
        check_media_id(video_id)
    except DataError:
        return
    target = (Path("/media/root") / video_id).resolve()
    assert target != Path("/media/root")
    assert target.is_relative_to("/media/root")


def test_both_forms_of_a_letter_are_one() -> None:
    assert canonical("e\u0301") == canonical("\u00e9") == "\u00e9"
