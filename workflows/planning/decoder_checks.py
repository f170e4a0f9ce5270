"""Says before a stage runs whether the decoder that one of its datasets names can be used."""

from __future__ import annotations

from collections.abc import Iterable

from cosa.data.clip_errors import CrashedError, HungError
from cosa.data.decoder_process import DecoderProcess, StartError
from cosa.data.decoders import loaded, needs_more
from cosa.errors import UserError
from workflows.spec.sections import DatasetSection

LOADING_SECONDS = 120.0


def unusable_decoder(name: str, dataset: DatasetSection) -> str | None:
    """Return why the decoder of a dataset cannot be used, or None. Another process loads it, which takes some seconds."""
    if dataset.decode is None or not needs_more(dataset.decode.decoder):
        return None
    process, decoder = DecoderProcess(LOADING_SECONDS), dataset.decode.decoder
    try:
        process.ask(loaded, decoder)
    except (HungError, CrashedError):
        what = f"crashes, or takes longer than {LOADING_SECONDS:g} s, when it is loaded"
        return f"datasets.{name}.decode.decoder: {decoder} {what}; install it again, or set decoder: auto"
    except StartError as error:
        return f"datasets.{name}.decode: {error}"
    except UserError as error:
        return f"datasets.{name}.decode.{error}"
    finally:
        process.close()
    return None


def unusable_decoders(datasets: dict[str, DatasetSection], names: Iterable[str]) -> dict[str, str]:
    """Return by name why the decoders of datasets cannot be used; each is tried once."""
    tried = {name: unusable_decoder(name, datasets[name]) for name in dict.fromkeys(names)}
    return {name: problem for name, problem in tried.items() if problem is not None}
