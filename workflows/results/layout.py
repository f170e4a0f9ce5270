"""Names of what a stage leaves in the folder of its result, and other stages find there."""

from __future__ import annotations

from pathlib import Path

MANIFEST = "manifest.json"
REPLACED = ".replaced"  # how the hidden folder of a result ends that was set aside until there is a new one
PARTIAL = ".partial"  # how the folder of unfinished work ends
CHECKPOINT_FOLDER = "checkpoint"
FRAME_STORE = ".frames"  # in the storage folder, the frames of all clips by the clips' contents
CLIPS_LIST = "clips.arrow"  # says where the frames of a dataset's clips are in the store
OLDER_CLIPS_LIST = "clips.json"  # the same, of results from before lists were columns
CACHE_FOLDER = ".cache"  # in the storage folder, what plans remember of the user's own files
COLUMNS_FOLDER = "annotations"  # in the cache, what large annotation files say
SHARD_PARTS = "shards"  # in the cache, what is known of single shards
FRAMES_FOLDER = "frames"  # links to them by the clips' names, for people and other programs
SHARDS_FOLDER = "shards"  # the index of a dataset's shards
BROKEN_TABLE = "broken.parquet"  # samples and shards that cannot be used
FRAMES_TABLE = "frames.parquet"  # what became of each clip
CLIPS_TABLE = "clips.tsv"  # the same, for people
UNREADABLE_FILE = "unreadable.txt"  # ids of clips that extraction could not read, one a line
PROFILE_FOLDER = "profile"  # of a training that was profiled, a trace and a table of costs
TRIALS_FOLDER = "trials"  # of a sweep, a folder for each trial
TRIALS_TABLE = "trials.json"  # all trials of a finished sweep, the best one first
RAY_FOLDER = "ray"  # what Ray saves of an unfinished training; removed when the result is published
STORAGE_NOTE = "checkpoint_storage.txt"  # in a folder of unfinished work, the address on S3 of what Ray saves
RUN_NOTE = "run.json"  # names the MLflow run of unfinished work, which resumes it
UNRECORDED_FILE = "unrecorded.json"  # what MLflow still has to get of a result; gone when it has arrived
CURRENT_FILE = "current.json"  # in the folder of an experiment, which results its newest complete run uses
LOCKS_FOLDER = ".locks"  # in the storage folder
REMOVED_FOLDER = ".removed"  # in the storage folder, what is being deleted
CHANGED_DATA = ".of-changed-data"  # how the hidden folder of unfinished work ends whose data changed meanwhile


def clips_list(result: Path) -> Path | None:
    """Return the list of a result's clips and their frames; None if it has none."""
    return next((result / name for name in (CLIPS_LIST, OLDER_CLIPS_LIST) if (result / name).is_file()), None)
