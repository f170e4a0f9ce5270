"""Accuracy of generated answers: exact match, and the soft accuracy of VQAv2 with its answer normalisation."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from cosa.errors import DataError

Normalisation = Literal["words", "none"]

# Rules of the official VQAv2 evaluation (github.com/GT-Vision-Lab/VQA, vqaEval.py, version 2.0), odd ones included.
VQA_MATCHES_FOR_FULL_SCORE = 3
VQA_ARTICLES = frozenset({"a", "an", "the"})
VQA_NUMBERS = {"none": "0"} | {
    word: str(number)
    for number, word in enumerate("zero one two three four five six seven eight nine ten".split())  # noqa: SIM905
}
VQA_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
VQA_DIGIT_COMMA = re.compile(r"\d,\d")
VQA_PERIOD = re.compile(r"\.(?!\d)")
VQA_PERIODS_REMOVED = 32  # the official code passes re.UNICODE, which is 32, where the number of replacements belongs
# Spellings with one apostrophe left out ("dont", "couldn'tve") are mended to these.
VQA_CONTRACTIONS = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've
    he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've
    o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's
    someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've
    there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's
    what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've
    wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""


def answer_accuracy(
    predictions: Sequence[str], answers: Sequence[Sequence[str]], normalisation: Normalisation = "words"
) -> dict[str, float]:
    """Share of answers that equal one of the accepted ones: {"accuracy": percent}.

    Args:
        predictions: one generated answer for each question; it may be empty.
        answers: the accepted answers of each question, at least one.
        normalisation: how both sides are made comparable. The published code compares the decoded word pieces with the
            raw annotation (`none`): annotations with capitals or punctuation, such as "10.5", "e-mail" or "$5", never
            match, since word pieces decode to "10. 5", "e - mail", "$ 5". `words` splits both sides as BERT's uncased
            tokenizer does (lower case, no accents, punctuation apart, single blanks), which accepts all that `none`
            accepts, and these.

    Raises:
        DataError: no questions, lists of different lengths, a question without an accepted answer, no string.

    """
    right = sum(answers_right(predictions, answers, normalisation))
    return {"accuracy": 100.0 * right / len(predictions)}


def answers_right(
    predictions: Sequence[str], answers: Sequence[Sequence[str]], normalisation: Normalisation = "words"
) -> list[bool]:
    """Whether each answer equals one of the accepted ones; arguments and errors as of `answer_accuracy`."""
    _check(predictions, answers, fewest=1)
    normalise = _normaliser(normalisation)
    return [
        normalise(prediction) in set(map(normalise, accepted))
        for prediction, accepted in zip(predictions, answers, strict=True)
    ]


def vqa_accuracy(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> dict[str, float]:
    """Soft accuracy of VQAv2: {"vqa_accuracy": percent}.

    A prediction that agrees with m answers of the other people scores min(m / 3, 1); the score of a question is the
    mean over leaving out each person in turn. Both sides are normalised as in the official evaluation
    (`normalise_vqa_answer`) but, as there, only when the people disagree: otherwise the texts must be equal as they
    stand, capitals included.

    Args:
        predictions: one generated answer for each question; it may be empty.
        answers: the people's answers to each question, ten in VQAv2; with fewer than four nothing could score 100.

    Raises:
        DataError: no questions, lists of different lengths, fewer than four answers to a question, no string.

    """
    scores = vqa_scores(predictions, answers)
    return {"vqa_accuracy": 100.0 * sum(scores) / len(scores)}


def vqa_scores(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> list[float]:
    """The score of each question, 0 to 1; arguments and errors as of `vqa_accuracy`."""
    _check(predictions, answers, fewest=VQA_MATCHES_FOR_FULL_SCORE + 1)
    return [_vqa_score(prediction, given) for prediction, given in zip(predictions, answers, strict=True)]


def normalise_vqa_answer(text: str) -> str:
    """An answer without punctuation and articles, in lower case, with digits for number words up to ten.

    Punctuation next to a blank vanishes and otherwise becomes a blank; all of it vanishes when the text has a comma
    between digits. A full stop stays only before a digit. Apostrophes and colons stay.
    """
    result = text
    digit_comma = VQA_DIGIT_COMMA.search(text) is not None
    for mark in VQA_PUNCTUATION:
        vanishes = digit_comma or f"{mark} " in text or f" {mark}" in text
        result = result.replace(mark, "" if vanishes else " ")
    result = VQA_PERIOD.sub("", result, count=VQA_PERIODS_REMOVED)
    words = (VQA_NUMBERS.get(word, word) for word in result.lower().split())
    return " ".join(VQA_MENDED.get(word, word) for word in words if word not in VQA_ARTICLES)


def most_frequent_answer_baseline(
    train_answers: Sequence[str], answers: Sequence[Sequence[str]], normalisation: Normalisation = "words"
) -> tuple[str, dict[str, float]]:
    """The most frequent training answer, and its `answer_accuracy` when it is given to every question.

    What question answering reaches without looking at questions or clips. Spellings that `normalisation` makes equal
    count together; the answer is returned as it is first spelt, and the earliest wins a tie.

    Raises:
        DataError: no training answer, and the faults that `answer_accuracy` names.

    """
    if not train_answers:
        raise DataError("There are no training answers to take the most frequent one from.")
    normalise = _normaliser(normalisation)
    forms = [normalise(_string(answer, "training answer")) for answer in train_answers]
    frequent, _ = Counter(forms).most_common(1)[0]  # equal counts keep the order of first appearance
    answer = train_answers[forms.index(frequent)]
    return answer, answer_accuracy([answer] * len(answers), answers, normalisation)


def _vqa_score(prediction: str, given: Sequence[str]) -> float:
    people = [_stripped(answer) for answer in given]
    answer = _stripped(prediction)
    if len(set(people)) > 1:
        people = [normalise_vqa_answer(text) for text in people]
        answer = normalise_vqa_answer(answer)
    matches = people.count(answer)
    # Whoever agrees with the prediction is one match fewer when left out.
    left_out = [matches - (text == answer) for text in people]
    return sum(min(count / VQA_MATCHES_FOR_FULL_SCORE, 1.0) for count in left_out) / len(people)


def _stripped(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()


def _mended_contractions(contractions: Sequence[str]) -> Iterator[tuple[str, str]]:
    for word in contractions:
        for place in (match.start() for match in re.finditer("'", word)):
            yield word[:place] + word[place + 1 :], word


# The official table has this one entry the wrong way round; results are only comparable with it.
VQA_MENDED = dict(_mended_contractions(VQA_CONTRACTIONS.split())) | {"somebody'd": "somebodyd"}


def _normaliser(normalisation: Normalisation) -> Callable[[str], str]:
    if normalisation == "none":
        return str
    if normalisation != "words":
        raise DataError(f"The answer normalisation is {normalisation!r}; expected 'words' or 'none'.")
    normaliser, splitter = BertNormalizer(lowercase=True), BertPreTokenizer()
    return lambda text: " ".join(word for word, _ in splitter.pre_tokenize_str(normaliser.normalize_str(text)))


def _string(text: object, what: str) -> str:
    if not isinstance(text, str):
        raise DataError(f"A {what} is {text!r}; expected a string (numbers need quotes in JSON).")
    return text


def _check(predictions: Sequence[str], answers: Sequence[Sequence[str]], fewest: int) -> None:
    if not predictions or len(predictions) != len(answers):
        raise DataError(
            f"Got {len(predictions)} predicted answers for {len(answers)} questions; expected one for each of at least "
            "one question."
        )
    for index, (prediction, accepted) in enumerate(zip(predictions, answers, strict=True)):
        _string(prediction, f"prediction (question {index})")
        if isinstance(accepted, str) or len(accepted) < fewest:
            raise DataError(f"Question {index} has the answers {accepted!r}; expected a list of at least {fewest}.")
        for answer in accepted:
            _string(answer, f"accepted answer (question {index})")
