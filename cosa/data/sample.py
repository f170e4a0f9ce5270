"""One training sample."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """Media with a caption, or with a question and its answer."""

    media_id: str
    caption: str = ""
    question: str = ""
    answer: str = ""
