"""The one training loop: pretraining and every finetuning task run through here."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from cosa.data.batches import Batch, TrainingBatches
from cosa.distributed import mean_of_workers, rank, world_size
from cosa.draws import Draws
from cosa.errors import UserError
from cosa.model import COSA
from cosa.training.accumulation import check_divisible, parts_of
from cosa.training.ema import WeightEMA
from cosa.training.finite_guard import FiniteGuard
from cosa.training.freezing import check_reached, differ_in_reach, no_use_of_frozen
from cosa.training.losses import StepLosses
from cosa.training.meter import LogRecord, Meter
from cosa.training.optimizer import set_learning_rate
from cosa.training.sharding import full, full_copy, is_sharded
from cosa.training.shared_memory import PREFETCH, in_shared_memory
from cosa.training.training_settings import TrainingSettings

CHECKPOINT_SECONDS = 600.0  # between checkpoints, where a run does not say after how many steps


class _StepsFrom(Sampler[int]):
    def __init__(self, start: int, stop: int):
        self.start, self.stop = start, stop

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.stop))

    def __len__(self) -> int:
        return self.stop - self.start


class _BatchesOrErrors(Dataset[Batch | UserError]):
    """Batches, or the user's mistake in place of one: an error out of a loader's process is wrapped in its traceback."""

    def __init__(self, batches: TrainingBatches):
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, step: int) -> Batch | UserError:
        try:
            batch = self.batches[step]
            return batch if get_worker_info() is None else in_shared_memory(batch)
        except UserError as error:
            return error


@dataclass
class Trainer:
    """Everything a training run consists of; `run` is the loop.

    The randomness of a step (dropout, masks, negatives) is seeded by (seed, step, worker): a resumed run equals an
    uninterrupted one without saving any generator's state.
    """

    losses: StepLosses
    optimizer: torch.optim.Optimizer
    batches: TrainingBatches
    settings: TrainingSettings
    seed: int
    device: torch.device
    draws: Callable[[torch.Generator, torch.Generator], Draws] = Draws  # makes a step's random draws of the objectives
    step: int = 0  # steps that are done
    precision: str = field(init=False)  # float32, bfloat16 or float16
    scaler: torch.amp.GradScaler = field(init=False)
    guard: FiniteGuard = field(init=False)
    ema: WeightEMA | None = field(init=False, default=None)
    _parallel: nn.Module = field(init=False)
    _checked: set[tuple[str, ...]] = field(init=False, default_factory=set)  # objectives whose gradients were looked for

    def __post_init__(self) -> None:
        self.precision = resolved_precision(self.settings.precision, self.device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "float16")
        self.guard = FiniteGuard(self.settings.max_skipped_steps, self.device)
        if self.settings.ema_decay is not None:
            self.ema = WeightEMA(self.losses.model, self.settings.ema_decay)
        for corpus in self.batches.corpora:
            rows = corpus.batch_size // self.batches.workers
            check_divisible(corpus.name, corpus.objectives, rows, self.settings.accumulate)
        self._parallel = self.losses
        if world_size() > 1 and not is_sharded(self.losses):
            self._parallel = DistributedDataParallel(
                self.losses,
                device_ids=[self.device] if self.device.type == "cuda" else None,
                find_unused_parameters=differ_in_reach(corpus.objectives for corpus in self.batches.corpora),
                forward_sync_buffers=False,
                gradient_as_bucket_view=True,
            )

    @contextmanager
    def model_to_validate(self) -> Iterator[COSA]:
        """The model with the weights that are saved; where they are sharded a full copy, for which all workers must ask."""
        with self.with_saved_weights():
            yield full_copy(self.losses.model, self.device) if is_sharded(self.losses) else self.losses.model

    def with_saved_weights(self) -> AbstractContextManager[None]:
        """Inside, the model has the weights that are validated and saved: their EMA, if there is one."""
        return nullcontext() if self.ema is None else self.ema.in_place()

    @property
    def total_steps(self) -> int:
        """Steps of the full run."""
        return len(self.batches) // self.batches.per_step

    def evaluation_steps(self) -> list[int]:
        """Numbers of steps done at which the run stops to validate and save; the last is the end."""
        count = max(1, min(self.settings.evaluations_per_run, self.total_steps))
        return [math.ceil(self.total_steps * (i + 1) / count) for i in range(count)]

    def checkpoint_steps(self) -> set[int]:
        """Numbers of steps done at which the run saves without validating, if these are given."""
        every = self.settings.checkpoint_every
        return set(range(every, self.total_steps, every)) - set(self.evaluation_steps()) if every else set()

    def run(
        self,
        on_log: Callable[[int, LogRecord], None] = lambda *_: None,
        on_evaluation: Callable[[int], None] = lambda _: None,
        on_checkpoint: Callable[[int], None] | None = None,
        should_stop: Callable[[], bool] = lambda: False,
        on_step: Callable[[], None] = lambda: None,
    ) -> None:
        """Train from `step` to the end, or until asked to stop.

        Args:
            on_log: called on worker 0 with the number of steps done and a record of losses, rate and speed. Every stop has
                one, so that a run that resumes from there makes the same records.
            on_evaluation: called on all workers at `evaluation_steps`.
            on_checkpoint: called on all workers at `checkpoint_steps`, or else at the first record ten minutes after the last
                stop.
            should_stop: asked on worker 0 at every record, the only place where workers agree anyway. If so, all save by
                `on_checkpoint` and end.
            on_step: called on all workers after each step.
        """
        evaluations, checkpoints = set(self.evaluation_steps()), self.checkpoint_steps()
        stops = evaluations | checkpoints
        meter, saved = Meter(self.device), time.monotonic()
        self.losses.train()
        for batches in self._batches_of_steps():
            meter.waited()
            meter.add(self.train_step(*batches), samples=sum(len(batch.media_ids) for batch in batches) * world_size())
            self.step += 1
            on_step()
            stopping = is_due = False
            if self.step % self.settings.log_every == 0 or self.step in stops:
                record = self._record(meter, should_stop, time.monotonic() - saved)
                stopping, is_due = record.pop("asked_to_stop") > 0, record.pop("checkpoint_is_due") > 0
                if rank() == 0:
                    on_log(self.step, record)
            if self.step in evaluations:
                on_evaluation(self.step)
                self.losses.train()
            elif (stopping or is_due or self.step in checkpoints) and on_checkpoint is not None:
                on_checkpoint(self.step)
            if stopping:
                return
            if is_due or self.step in stops:
                meter.restart()
                saved = time.monotonic()

    def _batches_of_steps(self) -> Iterator[list[Batch]]:
        """The batches of each step that is left."""
        batches: list[Batch] = []
        for batch in self._loader():
            if isinstance(batch, UserError):
                raise batch
            batches.append(batch)
            if len(batches) == self.batches.per_step:
                yield batches
                batches = []

    def _loader(self) -> DataLoader[Batch | UserError]:
        workers = self.settings.loader_workers
        return DataLoader(
            _BatchesOrErrors(self.batches),
            batch_size=None,
            sampler=_StepsFrom(self.step * self.batches.per_step, len(self.batches)),
            num_workers=workers,
            prefetch_factor=PREFETCH if workers else None,
            persistent_workers=workers > 0,
            pin_memory=self.device.type == "cuda",
        )

    def train_step(self, *batches: Batch) -> dict[str, Tensor]:
        """One update by the summed losses of batches; losses and what else is recorded, as scalars on the device."""
        share = set_learning_rate(self.optimizer, self.step, self.total_steps, self.settings, self.losses.behaviour)
        draws = self.draws(*seed_step(self.seed, self.step, self.device))
        values = StepLosses.summed([(self._checked_backward(batch, draws), len(batch.media_ids)) for batch in batches])
        self.scaler.unscale_(self.optimizer)
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        norm = full(nn.utils.clip_grad_norm_(parameters, self.settings.gradient_clip))
        losses = list(StepLosses.only_losses(values).values())
        leave_out = self.guard.judge(losses, norm, self.step, scaled=self.scaler.is_enabled())
        if not self.scaler.is_enabled():  # otherwise it leaves such steps out itself, and lowers its scale
            self.optimizer.found_inf = leave_out  # type: ignore[attr-defined]  # how PyTorch tells an optimizer, without waiting
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.ema is not None:
            self.ema.update(leave_out)
        self.optimizer.zero_grad(set_to_none=True)  # now, so that they and the next step's activations never meet
        rate = torch.tensor(share * self.settings.learning_rate)
        return {
            "loss": StepLosses.total(values),
            **values,
            "gradient_norm": norm.detach(),
            "learning_rate": rate,
        }

    def _checked_backward(self, batch: Batch, draws: Draws) -> dict[str, Tensor]:
        """What `_backward` does; at the first batch of its objectives also a look at what they reach."""
        if batch.objectives in self._checked:
            return self._backward(batch.to(self.device), draws)
        # Hooks would make compiled modules compile again.
        is_watched = not self.settings.compile
        with no_use_of_frozen(self.losses.model, batch.objectives) if is_watched else nullcontext():
            values = self._backward(batch.to(self.device), draws)
        check_reached(self.losses.model, batch.objectives)
        self._checked.add(batch.objectives)
        return values

    def _backward(self, batch: Batch, draws: Draws) -> dict[str, Tensor]:
        """Sum up the gradients of a batch, part after part; its losses and what else is recorded, without gradients."""
        found: dict[str, Tensor] = {}
        count = self.settings.accumulate
        for index, part in enumerate(parts_of(self.losses, batch, draws, count)):
            with self._gradient_synchronisation(index + 1 == count):
                with self._autocast():
                    values = part.weighted(self._parallel(part.batch, part.draws))
                self.scaler.scale(StepLosses.total(values)).backward()
            for name, value in values.items():
                found[name] = found[name] + value.detach() if name in found else value.detach()
        return found

    def _gradient_synchronisation(self, wanted: bool) -> AbstractContextManager[None]:
        """Workers add up their gradients once a step; sharded ones (FSDP) in every part, as full ones would take the memory."""
        if wanted or not isinstance(self._parallel, DistributedDataParallel):
            return nullcontext()
        without: AbstractContextManager[None] = self._parallel.no_sync()
        return without

    def _autocast(self) -> Any:
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=getattr(torch, self.precision))

    def _record(self, meter: Meter, should_stop: Callable[[], bool], seconds: float) -> LogRecord:
        """Means of all workers since the last record; `asked_to_stop`, above 0 if they were; and `checkpoint_is_due`, above 0
        if worker 0 finds it is. seconds: since the last checkpoint.

        Raises:
            NonFiniteLossError: too many steps had to be left out.
        """
        values, bad = meter.record()
        asked = float(rank() == 0 and should_stop())
        due = float(rank() == 0 and self.settings.checkpoint_every is None and seconds >= CHECKPOINT_SECONDS)
        flags = {"asked_to_stop": asked, "checkpoint_is_due": due}
        means = mean_of_workers({**values, "skipped_steps": float(self.guard.count), **flags})
        if means.pop("skipped_steps") > 0:
            skipped = self.guard.check(bad, self._samples_of, values["learning_rate"])
            means = {name: value for name, value in means.items() if math.isfinite(value)}
            means["skipped_steps"] = float(skipped)
        return means

    def _samples_of(self, step: int) -> tuple[str, tuple[str, ...]]:
        batches = [self.batches[step * self.batches.per_step + place] for place in range(self.batches.per_step)]
        return " and ".join(batch.corpus for batch in batches), tuple(name for batch in batches for name in batch.media_ids)


def resolved_precision(asked: str, device: torch.device) -> str:
    """What `auto` means on a device."""
    if asked != "auto":
        return asked
    return "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else "float32"


def seed_step(seed: int, step: int, device: torch.device) -> tuple[torch.Generator, torch.Generator]:
    """Seed PyTorch's own generators (dropout, DropPath) for a step, and give two others.

    One on the device for negatives, one on the host for masks: the host has to know how many tokens are masked.
    """
    key = (seed * 1_000_003 + step) * 1_000_003 + rank()
    torch.manual_seed(key % 2**63)
    generator, host_generator = torch.Generator(device), torch.Generator()
    generator.manual_seed((key * 31 + 17) % 2**63)
    host_generator.manual_seed((key * 31 + 18) % 2**63)
    return generator, host_generator
