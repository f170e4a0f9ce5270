"""Names of what a stage leaves in the folder of its result, and other stages find there."""

CHECKPOINT_FOLDER = "checkpoint"
FRAMES_FOLDER = "frames"
UNREADABLE_FILE = "unreadable.txt"  # ids of clips that extraction could not read, one a line
