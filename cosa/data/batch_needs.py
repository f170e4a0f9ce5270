"""What the batches of a corpus hold. No torch here: objectives declare it, and specs are checked with them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class BatchNeeds:
    """What is made of a corpus' samples for every step.

    questions: questions and answers, in the place of captions. all_captions: captions of all workers on each of them.
    concatenated: concatenated samples, too. all_concatenated: the joined captions of all workers on each of them.
    """

    questions: bool = False
    all_captions: bool = False
    concatenated: bool = False
    all_concatenated: bool = False
