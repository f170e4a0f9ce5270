"""Caption metrics, slow and written from the papers, with nothing of pycocoevalcap. Captions are lists of words."""

import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

Words = Sequence[str]


def ngrams(words: Words, n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[start : start + n]) for start in range(len(words) - n + 1))


def bleu(predictions: Sequence[Words], references: Sequence[Sequence[Words]], order: int) -> float:
    """Papineni et al., 2002: clipped precisions of the test set, and a brevity penalty with the closest references."""
    logarithm = 0.0
    for n in range(1, order + 1):
        right = total = 0
        for prediction, own in zip(predictions, references, strict=True):
            most: Counter[tuple[str, ...]] = Counter()
            for reference in own:
                most |= ngrams(reference, n)
            found = ngrams(prediction, n)
            right += sum((found & most).values())
            total += sum(found.values())
        logarithm += math.log(Fraction(right, total)) / order
    length = sum(map(len, predictions))
    closest = 0
    for prediction, own in zip(predictions, references, strict=True):
        gaps = {len(reference): abs(len(reference) - len(prediction)) for reference in own}
        closest += min(size for size, gap in gaps.items() if gap == min(gaps.values()))
    return math.exp(min(0.0, 1 - closest / length) + logarithm)


def rouge_l(prediction: Words, references: Sequence[Words], beta: float = 1.2) -> float:
    """Lin, 2004, as COCO's server has it: the best precision and the best recall of all references, with beta 1.2."""
    common = [longest_common(prediction, reference) for reference in references]
    precision = max(size / len(prediction) for size in common)
    recall = max(size / len(reference) for size, reference in zip(common, references, strict=True))
    return (1 + beta**2) * precision * recall / (recall + beta**2 * precision) if precision and recall else 0.0


def longest_common(one: Words, other: Words) -> int:
    """By the words that one may end with: the textbook's recursion, from the end."""
    rows = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i in reversed(range(len(one))):
        for j in reversed(range(len(other))):
            rows[i][j] = 1 + rows[i + 1][j + 1] if one[i] == other[j] else max(rows[i + 1][j], rows[i][j + 1])
    return rows[0][0]


def ciders(predictions: Sequence[Words], references: Sequence[Sequence[Words]], sigma: float = 6.0) -> list[float]:
    """CIDEr-D of every clip (Vedantam et al., 2015), with document frequencies of these references."""
    scores = [0.0] * len(predictions)
    for n in range(1, 5):
        frequency = Counter(gram for own in references for gram in set().union(*(ngrams(reference, n) for reference in own)))

        def weights(words: Words, n: int = n, frequency: Counter[tuple[str, ...]] = frequency) -> dict[tuple[str, ...], float]:
            rarity = {gram: math.log(len(references) / max(1, frequency[gram])) for gram in ngrams(words, n)}
            return {gram: count * rarity[gram] for gram, count in ngrams(words, n).items()}

        for clip, (prediction, own) in enumerate(zip(predictions, references, strict=True)):
            mine = weights(prediction)
            similar = 0.0
            for reference in own:
                theirs = weights(reference)
                product = sum(min(value, theirs.get(gram, 0.0)) * theirs.get(gram, 0.0) for gram, value in mine.items())
                norms = math.hypot(*mine.values()) * math.hypot(*theirs.values())
                # COCO's program takes the number of 2-grams for the length.
                gap = max(0, len(prediction) - 1) - max(0, len(reference) - 1)
                similar += (product / norms if norms else 0.0) * math.exp(-(gap**2) / (2 * sigma**2))
            scores[clip] += 10 * similar / len(own) / 4
    return scores
