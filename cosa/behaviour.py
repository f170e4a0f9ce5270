"""Where the published code does something that a user would not want: what is done here, and the preset that repeats it.

`behaviour: published` in a spec chooses `PUBLISHED`; the default is `DEFAULT`. docs/deviations.md says for every field what
each does and why. Components read the fields that concern them; nothing else switches behaviour. No torch here: specs are
checked with it.
"""

from dataclasses import dataclass
from typing import Literal

BehaviourName = Literal["default", "published"]


@dataclass(frozen=True)
class Behaviour:
    """One choice a field; the defaults are ours, `PUBLISHED` holds the published ones.

    Losses:
        constant_keys: features gathered from the batch (keys of the contrastive loss, negatives of matching) are constants,
            with one worker too. Ours: gradients flow through them.
        concatenated_videos: what concatenated samples are made of. "features": every image is encoded once, gradients reach
            all of them. "own_features": the same, but the others' features are constants. "pixels": frames are joined and
            encoded again, each image concatenated + 1 times.
        join_with_self: a sample's partners are drawn from the full batch, itself included.
        same_media_negatives: other captions of the same video count as its negatives in matching.
    Optimizer:
        decay_by_name: weight decay on everything whose published name contains none of `bias`, `LayerNorm.weight`,
            `LayerNorm.bias`. Ours: on matrices that are no positions.
        uncorrected_decay: AdamW as in old transformers: epsilon joins sqrt(v) before bias correction, decay comes after the
            step. Ours: PyTorch's.
        rate_ends_at_zero: the last step has learning rate 0. Ours: the first step that is not done would have it.
        cosine_ignores_warmup: a cosine schedule starts at step 0, so the rate jumps down where warm-up ends.
    Self-critical training:
        references_with_special_tokens: CIDEr references hold [CLS] and [SEP], captions never do.
        sample_with_dropout: captions are sampled by the model in training mode.
    Generation:
        prompt_counts_as_length: the length penalty of beam search counts the padded question.
    Evaluation:
        unranked_score_zero: the re-ranked score of all but the best candidates is 0. Ours: behind the candidates, in the
            order of similarity.
        ties: order of equal scores; "index": as they stand, "pessimistic": the right one last.
        half_features: features and visual tokens are rounded to float16 before they are compared.
        answers_verbatim: a generated answer counts only if it equals the annotation character by character.
    Images:
        antialias: smooth images before shrinking them (the published torchvision did not).
    """

    constant_keys: bool = False
    concatenated_videos: Literal["features", "own_features", "pixels"] = "features"
    join_with_self: bool = False
    same_media_negatives: bool = False
    decay_by_name: bool = False
    uncorrected_decay: bool = False
    rate_ends_at_zero: bool = False
    cosine_ignores_warmup: bool = False
    references_with_special_tokens: bool = False
    sample_with_dropout: bool = False
    prompt_counts_as_length: bool = False
    unranked_score_zero: bool = False
    ties: Literal["pessimistic", "index"] = "pessimistic"
    half_features: bool = False
    answers_verbatim: bool = False
    antialias: bool = True


DEFAULT = Behaviour()
PUBLISHED = Behaviour(
    constant_keys=True,
    concatenated_videos="pixels",
    join_with_self=True,
    same_media_negatives=True,
    decay_by_name=True,
    uncorrected_decay=True,
    rate_ends_at_zero=True,
    cosine_ignores_warmup=True,
    references_with_special_tokens=True,
    sample_with_dropout=True,
    prompt_counts_as_length=True,
    unranked_score_zero=True,
    ties="index",
    half_features=True,
    answers_verbatim=True,
    antialias=False,
)
BEHAVIOURS: dict[BehaviourName, Behaviour] = {"default": DEFAULT, "published": PUBLISHED}
