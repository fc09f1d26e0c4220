"""The errors a user can cause: each message says what was found, what was expected, what to do."""


class CrosslightError(Exception):
    """A user's mistake or a state of the machine that the user can mend.

    Commands print the message alone, without a traceback, and exit with `exit_code`.
    """

    exit_code = 1


class DataError(CrosslightError):
    """A data set, an image or a table that cannot be used as it is."""


class ReadingError(DataError):
    """A file of a data set that this machine cannot read, or not now: gone, damaged, no memory."""


class ConfigError(CrosslightError):
    """A recipe, a flag or a run folder that contradicts itself or the code."""


class CheckpointError(CrosslightError):
    """A checkpoint that is missing, damaged, unsafe or made by something else."""


class TrainingError(CrosslightError):
    """Training that cannot go on: a loss without a value, a full disk."""


class ProtocolError(CrosslightError):
    """Features that a protocol cannot score."""


class GalleryError(CrosslightError):
    """A store of enrolled people that is missing, damaged, busy or made by another model."""


class MissingPartError(CrosslightError, ImportError):
    """A part of crosslight that this installation left out."""
