"""Runs inside Ray Train's workers: trains or evaluates in pure PyTorch from a job, and saves Ray's checkpoints."""

from __future__ import annotations

import math
import os
import posixpath
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosa.checkpoints.settings import SETTINGS
from workflows.cluster.preemption import is_asked_to_stop
from workflows.execution.checkpoints import checkpoint_name, latest_intact, next_suffix, require_intact, suffix_of
from workflows.execution.progress import MEAN_LOSS, PROGRESS_FILE, ProgressWriter, mean_loss, read_records
from workflows.execution.run_folder import RunFolder
from workflows.execution.whereabouts import note_workers
from workflows.results.layout import PROFILE_FOLDER

if TYPE_CHECKING:
    from workflows.execution.job import Job

SWITCH_SECONDS = 0.05  # Python's default is 0.005.
MISTAKE_FILE = "mistake.txt"  # It holds the message of a user's mistake that ended training.


def switch_threads_less_often() -> None:
    """Let Ray's own threads interrupt the training thread less often: one of them wakes a hundred times a second, and each time
    the training thread would have to wait for its turn."""
    sys.setswitchinterval(SWITCH_SECONDS)


def compute_on_own_cores() -> None:
    """Let torch use as many threads as Ray says in OMP_NUM_THREADS, also where torch was imported before Ray said it."""
    import torch

    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdecimal():
        torch.set_num_threads(int(threads))


# What code raises that is wrong: the same code fails again, so workers are not started once more if an extension raised it.
PROGRAMMING_ERRORS = (
    ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError, NotImplementedError,
    TypeError, ValueError,
)  # fmt: skip


def training_worker(config: dict[str, Any]) -> None:
    """Run one worker of a training stage. config: {'job': Job.plain()}.

    Every stop of the loop validates, saves the full state as a Ray checkpoint and reports it; a restarted worker group resumes
    from the latest one. A user's mistake is written to a file and ends the run as if it were done (`raise_mistake`), because
    after an error Ray would only start the workers again; so is what would happen again: a programming error in an extension,
    or a batch that is too large for a GPU.
    """
    import torch

    from cosa.distributed import world_size
    from cosa.errors import UserError
    from cosa.extensions import mistake_in_extension
    from cosa.training.shared_memory import LoaderDiedError
    from workflows.execution.worker_loss import gpu_memory_mistake

    switch_threads_less_often()
    compute_on_own_cores()
    mistake = Path(config["job"]["folder"]) / MISTAKE_FILE
    if mistake.is_file():
        return
    try:
        with loader_deaths():
            _train(config)
    except LoaderDiedError:
        raise  # Memory may have been short for a moment: Ray starts the workers again.
    except (UserError, torch.OutOfMemoryError, *PROGRAMMING_ERRORS) as error:
        known = error if isinstance(error, UserError) else gpu_memory_mistake(error) or mistake_in_extension(error)
        if known is None:
            raise
        mistake.parent.mkdir(parents=True, exist_ok=True)
        mistake.write_text(str(known), encoding="utf-8")
        if world_size() > 1:
            raise  # Other workers may wait for this one. Ray starts all of them once more, and they return at once.


@contextmanager
def loader_deaths() -> Iterator[None]:
    """Report the death of a loader's process in a sentence."""
    from cosa.training.shared_memory import loader_death

    try:
        yield
    except RuntimeError as error:
        death = loader_death(error)
        if death is None:
            raise
        raise death from error


def raise_mistake(folder: Path) -> None:
    """Raise UserError if a mistake ended the training that wrote to a folder."""
    from cosa.errors import UserError

    mistake = folder / MISTAKE_FILE
    if mistake.is_file():
        raise UserError(mistake.read_text(encoding="utf-8"))


def _train(config: dict[str, Any]) -> None:
    import ray.train
    import ray.train.torch

    from cosa.behaviour import BEHAVIOURS
    from cosa.distributed import rank
    from cosa.tasks.all_tasks import TASKS, evaluation_fields
    from cosa.tasks.evaluator import Evaluator
    from cosa.training.profiling import StepProfiler
    from cosa.training.shared_memory import check_shared_memory
    from workflows.execution.job import Job
    from workflows.execution.system_metrics import SystemMonitor

    job = Job.from_plain(config["job"])
    section = job.parsed()
    validation = job.kind.validation(section)
    device = ray.train.torch.get_device()
    note_workers(Path(job.folder))
    trainer = trainer_of_job(job, device)
    evaluator = None
    if validation is not None:
        evaluator = Evaluator(
            job.datasets[validation.dataset],
            validation.split,
            section,
            resolution=trainer.losses.model.config.vision.resolution,
            device=device,
            behaviour=BEHAVIOURS[section.behaviour],
        )
    neighbours = ray.train.get_context().get_local_world_size()
    check_shared_memory(trainer.batches, section.loader_workers, neighbours)
    progress = ProgressWriter(Path(job.folder), trainer.total_steps)
    suffix = _restore(trainer, progress)
    settings = section.model_dump_json(include={"task", *evaluation_fields(TASKS.values())}, indent=2).encode()

    def beside() -> dict[str, bytes]:
        return {PROGRESS_FILE: progress.content(), SETTINGS: settings}

    def evaluate() -> dict[str, float]:
        if evaluator is None:
            return _loss_since_last_stop(trainer, Path(job.folder))
        with trainer.model_to_validate() as model:
            return evaluator.validate(model, validation.task)

    def stop(step: int) -> None:
        metrics = evaluate()
        if rank() == 0:
            progress.write("evaluation", step, metrics)
        _report(trainer, {"step": step, "evaluation": trainer.evaluation_steps().index(step) + 1, **metrics}, suffix, beside)

    if trainer.step == 0 and validation is not None and validation.before_training:
        metrics = evaluate()
        if rank() == 0:
            progress.write("evaluation", 0, metrics)
    if trainer.step >= trainer.total_steps:  # All steps were done before an interruption, but Ray still wants one report.
        last = [record for record in read_records(Path(job.folder)) if record.kind == "evaluation"][-1]
        evaluation = len(trainer.evaluation_steps())
        ray.train.report({"step": trainer.step, "evaluation": evaluation, **finite(last.values)})
        return
    monitor = SystemMonitor(device)

    def note(step: int, record: Mapping[str, float]) -> None:
        progress.write("train", step, record)
        sample = monitor.sample()
        if sample is not None:
            progress.write("system", step, sample)

    steps = trainer.total_steps - trainer.step if section.profile and rank() == 0 else 0
    with StepProfiler(Path(job.folder) / PROFILE_FOLDER, device, steps) as profiler:
        trainer.run(
            note,
            stop,
            lambda step: _report(trainer, {"step": step}, suffix, beside),
            lambda: is_asked_to_stop(Path(job.folder)),
            profiler.step,
        )


def trainer_of_job(job: Job, device: Any) -> Any:
    """Build model, data and optimizer of a training stage on this worker."""
    from cosa.behaviour import BEHAVIOURS
    from cosa.model_config import ModelConfig
    from cosa.training.building import build_model, build_trainer
    from workflows.spec.lengths import refuse_long_texts

    section, kind = job.parsed(), job.kind
    behaviour, concatenate = BEHAVIOURS[section.behaviour], kind.concatenated(section)
    model = build_model(
        section,
        checkpoint=None if job.checkpoint is None else Path(job.checkpoint),
        config=None if job.model is None else ModelConfig.model_validate(job.model),
        frame_positions=kind.most_frames(section) * concatenate,
        seed=job.seed,
    )
    refuse_long_texts(section, model.config.text.max_position_embeddings)
    corpora = kind.corpora(section, job.datasets, model.config.vision.resolution, behaviour)
    return build_trainer(
        model, corpora, section, device=device, seed=job.seed, concatenate=concatenate, mixing=kind.mixing(section),
        behaviour=behaviour,
    )  # fmt: skip


def _loss_since_last_stop(trainer: Any, folder: Path) -> dict[str, float]:
    """Return the mean loss since the previous stop, by which trainings without validation are compared."""
    from cosa.distributed import rank

    if rank() != 0:  # Only worker 0 is sure to see all records at this moment, and only its metrics count.
        return {}
    stops = [0, *trainer.evaluation_steps()]
    found = mean_loss(read_records(folder), stops[stops.index(trainer.step) - 1], trainer.step)
    return {} if found is None else {MEAN_LOSS.name: found}


def _restore(trainer: Any, progress: ProgressWriter) -> str:
    """Resume from the latest intact checkpoint, if there is any, and report damaged ones in the progress file.

    Returns:
        a suffix for the names of checkpoints from here on: steps that are repeated because a checkpoint was damaged must not
        reuse its name, which Ray still lists.
    """
    import ray.train

    from cosa.distributed import gather_objects, rank
    from cosa.training.state import restore_state

    latest = ray.train.get_checkpoint()
    # Without a latest checkpoint of Ray's this is a new training, or its books were lost and only the folders are left.
    run, name = _run_folder(), None if latest is None else posixpath.basename(latest.path)
    # Worker 0 chooses for all of them, since they must not resume from different checkpoints if only one cannot read a file.
    choice = (*latest_intact(run, name), next_suffix(run)) if rank() == 0 else (None, [], "")
    chosen, warnings, suffix = gather_objects(choice)[0]
    if chosen is not None:
        with _opened_once_a_machine(run, chosen) as folder:
            restore_state(trainer, folder)
            if rank() == 0 and (folder / PROGRESS_FILE).is_file():  # Checkpoints made before have no records.
                progress.restore((folder / PROGRESS_FILE).read_bytes())
    if rank() == 0:
        for warning in warnings:
            progress.warn(warning)
    return suffix if warnings else suffix_of(chosen or checkpoint_name(0))


def _run_folder() -> RunFolder:
    import ray.train

    storage = ray.train.get_context().get_storage()
    return RunFolder(storage.storage_filesystem, storage.experiment_fs_path)


@contextmanager
def _opened_once_a_machine(run: RunFolder, name: str) -> Iterator[Path]:
    """Open a folder, like `RunFolder.opened`, for all workers at once; one worker of each machine downloads it if necessary.

    Ray's own `as_directory` would let a late worker download over the files that an early one is reading.
    """
    import ray.train

    from cosa.distributed import gather_objects

    if run.is_local:
        with run.opened(name) as folder:
            yield folder
        return
    context = ray.train.get_context()
    node = context.get_node_rank()
    with run.opened(name) if context.get_local_rank() == 0 else nullcontext() as mine:
        folders = dict(entry for entry in gather_objects((node, mine)) if entry[1] is not None)
        yield folders[node]
        gather_objects(None)  # This waits until no worker reads it any more.


def _report(trainer: Any, metrics: Mapping[str, float], suffix: str, beside: Callable[[], dict[str, bytes]]) -> None:
    """Save the full state, with the files that belong beside it, and report it.

    Ray deletes older checkpoints only after this one was read back.
    """
    import ray.train

    from cosa.distributed import rank
    from cosa.training.state import save_state

    name = checkpoint_name(trainer.step, suffix)
    if rank() != 0:
        save_state(trainer, None)
        ray.train.report(finite(metrics), checkpoint_dir_name=name)
        return
    run = _run_folder()
    with run.writing() as folder:
        save_state(trainer, folder, beside())
        run.put(folder, name, require_intact)
    # Worker 0 reports after the checkpoint is in place. Until then the others wait in their own report, for as long as writing
    # and reading back takes, and not in the next gradient synchronisation, which times out.
    ray.train.report(
        finite(metrics),
        checkpoint=ray.train.Checkpoint(posixpath.join(run.path, name), run.filesystem),
        checkpoint_dir_name=name,
        checkpoint_upload_mode=ray.train.CheckpointUploadMode.NO_UPLOAD,
    )


def finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return only finite values, as plain floats, because anything else breaks Ray's snapshot of a run."""
    return {name: float(value) for name, value in metrics.items() if math.isfinite(float(value))}


def evaluation_worker(config: dict[str, Any]) -> dict[str, Any] | None:
    """Evaluate all tasks of an evaluation stage, in a plain Ray task or in each worker of a Ray Train worker group.

    Args:
        config: {'job': Job.plain()}; for a plain task also 'threads', the number of CPU threads.

    Returns:
        metrics, predictions and scores by task; None on workers other than worker 0.
    """
    import torch

    from cosa.behaviour import BEHAVIOURS
    from cosa.checkpoints.loading import load_model
    from cosa.distributed import rank, world_size
    from cosa.tasks.evaluator import Evaluator
    from workflows.execution.job import Job
    from workflows.spec.lengths import refuse_long_texts

    job = Job.from_plain(config["job"])
    note_workers(Path(job.folder))
    section = job.parsed()
    if world_size() > 1:
        import ray.train.torch

        device = ray.train.torch.get_device()
        compute_on_own_cores()
    else:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.set_num_threads(config["threads"])
    model = load_model(Path(str(job.checkpoint)), resolution=section.resolution).to(device)
    refuse_long_texts(section, model.config.text.max_position_embeddings)
    evaluator = Evaluator(
        job.datasets[section.dataset],
        section.split,
        section,
        resolution=model.config.vision.resolution,
        device=device,
        behaviour=BEHAVIOURS[section.behaviour],
    )
    results = {}
    for task in section.tasks:
        result = evaluator.run(model, task)
        results[task] = {"metrics": result.metrics, "predictions": result.predictions, "scores": result.scores}
    return results if rank() == 0 else None
