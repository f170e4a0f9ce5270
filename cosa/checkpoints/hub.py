"""Whether the hub answers from which timm and transformers fetch weights."""

from collections.abc import Iterator
from contextlib import contextmanager

ANSWER_SECONDS = 5.0


@contextmanager
def quick_hub() -> Iterator[str]:
    """Let a hub that does not answer be left alone inside, so that only its cache on this machine is used.

    The libraries themselves would try for more than a minute. What is yielded says how the hub is, for messages.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        yield "HF_HUB_OFFLINE keeps from asking the hub, and its cache lacks them"
        return
    if _answers(constants.ENDPOINT):
        yield "the hub answers"
        return
    constants.HF_HUB_OFFLINE = True
    try:
        yield f"{constants.ENDPOINT} does not answer, and its cache {constants.HF_HUB_CACHE} lacks them"
    finally:
        constants.HF_HUB_OFFLINE = False


def _answers(address: str) -> bool:
    import httpx2
    from huggingface_hub import get_session

    try:
        get_session().head(address, timeout=ANSWER_SECONDS)
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError):
        return False
    return True
