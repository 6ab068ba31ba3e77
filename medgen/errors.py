"""Every failure that a user can cause.

The command line prints the message of a `MedgenError` as one line and exits with code 1; anything
else that escapes is a bug in medgen.
"""

LONGEST_QUOTE = 160  # characters


def printable(text: str) -> str:
    """The same text with an escape, as `repr` has them, for whatever a terminal would not print.

    File names and headers may hold line breaks, control sequences, bytes that are no text and
    marks that turn the direction of writing.
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def quoted(text: object) -> str:
    """What a file says, in a form to be quoted in a sentence: printable, and short."""
    text = printable(str(text))
    return text if len(text) <= LONGEST_QUOTE else f"{text[: LONGEST_QUOTE - 3]}..."


class MedgenError(Exception):
    """Base of all errors caused by the user's input or options; its message is printable."""

    def __init__(self, message: str):
        super().__init__(printable(message))


class ReadError(MedgenError):
    """A file cannot be read as one volume."""


class SeveralVolumesError(ReadError):
    """A file holds several volumes, and nothing says which of them is meant."""


class WriteError(MedgenError):
    """A volume cannot be written as asked."""


class GeometryError(MedgenError):
    """Voxel positions that do not make a regular volume, or do not fit the request."""


class IntensityError(MedgenError):
    """Voxel values that cannot be brought to a model's levels."""


class RecipeError(MedgenError):
    """A recipe that is unknown, malformed or contradicts itself."""


class BundleError(MedgenError):
    """A model folder that is missing, damaged or of another kind than needed."""


class TrainingError(MedgenError):
    """Data or options a training run cannot start or go on with."""


class EvaluationError(MedgenError):
    """A comparison or measurement that has nothing to work on."""


class StudyError(MedgenError):
    """A reader study that cannot be prepared, read or reported."""


class ResourceError(MedgenError):
    """Work that needs more memory than there is."""


class RequestError(MedgenError):
    """A request to a served model that it cannot answer."""


class TooLargeError(RequestError):
    """A request to a served model for more than it answers at once."""
