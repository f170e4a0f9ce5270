"""Fetches checkpoints from the Hugging Face hub, and puts them there."""

from __future__ import annotations

from pathlib import Path

from cosa.checkpoints.locate import NATIVE_CONFIG, NATIVE_VOCABULARY, NATIVE_WEIGHTS, locate
from cosa.checkpoints.settings import SETTINGS, SPEC
from cosa.errors import UserError

FILES = (NATIVE_WEIGHTS, NATIVE_CONFIG, NATIVE_VOCABULARY, SETTINGS, SPEC, "README.md")


def download(name: str, storage: Path | None = None) -> Path:
    """Fetch `OWNER/NAME` or `OWNER/NAME@REVISION`, and return its folder in the hub's cache.

    Which hub and which cache these are, huggingface_hub's own variables say (HF_ENDPOINT, HF_HUB_CACHE). storage: of results,
    which has none of its models.

    Raises:
        UserError: the hub cannot be reached, has no such model, or it is no checkpoint of ours.
    """
    import httpx2
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    del storage
    repository, _, revision = name.partition("@")
    if not repository:
        raise UserError(f"hf:{name} names no model; expected hf:OWNER/NAME or hf:OWNER/NAME@REVISION")
    try:
        folder = Path(snapshot_download(repository, revision=revision or None, allow_patterns=list(FILES), endpoint=_place()))
    except (httpx2.HTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise UserError(f"hf:{name} cannot be fetched from {_place()}: {_reason(error)}") from error
    if locate(folder) is None:
        raise UserError(f"hf:{name} is no checkpoint of this program; expected {NATIVE_WEIGHTS} and {NATIVE_CONFIG} in it")
    return folder


def upload(folder: Path, name: str, *, private: bool = True) -> str:
    """Put an exported folder on the hub as `OWNER/NAME`, and return its address.

    Raises:
        UserError: the hub cannot be reached, or refuses.
    """
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    check_name(name)
    api = HfApi(endpoint=_place())
    try:
        made = api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(repo_id=made.repo_id, folder_path=folder, commit_message="Upload a COSA checkpoint")
    except (httpx2.HTTPError, OSError) as error:
        refused = isinstance(error, HfHubHTTPError) and error.response is not None and error.response.status_code in (401, 403)
        advice = "; log in with `hf auth login`" if refused else ""
        raise UserError(f"{name} cannot be put on {_place()}: {_reason(error)}{advice}") from error
    return f"{_place()}/{made.repo_id}"


def check_name(name: str) -> None:
    """Complain about what can be no name on a hub.

    Raises:
        UserError: it is none.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise UserError(f"{name!r} is no name on a hub; expected OWNER/NAME ({_reason(error)})") from error


def _place() -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT


def _reason(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
