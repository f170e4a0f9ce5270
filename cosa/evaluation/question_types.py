"""Types of questions, by which accuracy is also shown."""

from cosa.data.annotations import QuestionEntry

UNKNOWN = "other"  # of a question without a word


def type_of(question: QuestionEntry) -> str:
    """What its annotation says, or else its first word in lower case, and the first two after "how": "what", "how many"."""
    if question.question_type is not None:
        return question.question_type
    words = question.question.lower().split()[:2]
    kept = words if words[:1] == ["how"] else words[:1]
    return " ".join(word.strip(",.?!:;\"'") for word in kept).strip() or UNKNOWN
