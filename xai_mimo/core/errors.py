"""Every error of the toolkit; each is also the built-in error a caller would expect.

A message says what was given, what was expected and how to mend it.
"""


class XaiMimoError(Exception):
    """Root of all errors raised on purpose by this package."""


class ShapeMismatch(XaiMimoError, ValueError):
    """An array has the wrong rank, width or number of rows."""


class UnknownName(XaiMimoError, LookupError):
    """A stream, head, layer, method or file was named that does not exist."""


class DuplicateName(XaiMimoError, ValueError):
    """Two streams, heads or features share one name, or a name is reserved."""


class BadValues(XaiMimoError, ValueError):
    """An array holds NaN, infinity or values that cannot be used as they are."""


class NotFinite(BadValues):
    """A model answers NaN or infinity.

    Attributes:
        head: that does. row: the first such row, of those that were asked.
    """

    def __init__(self, text: str, head: str = "", row: int = 0) -> None:
        super().__init__(text)
        self.head, self.row = head, row


class EmptyData(XaiMimoError, ValueError):
    """There is no row to work on."""


class SchemaError(XaiMimoError, ValueError):
    """A dataset or a file does not have the documented layout."""


class NotSupported(XaiMimoError, TypeError):
    """This model, layer or stream cannot do what was asked; the message says what can."""


class BadSetting(XaiMimoError, ValueError):
    """An argument lies outside what the method or metric accepts."""


class TooSlow(XaiMimoError, TimeoutError):
    """A function did not answer within the time that it was given; the message names the rows."""


class MetricFailed(XaiMimoError, RuntimeError):
    """A metric raised an error, or gave what is no quantity; the message names the metric."""


class MissingDependency(XaiMimoError, ImportError):
    """An optional package is needed; the message gives the install command."""


class FileProblem(XaiMimoError, OSError):
    """A file or folder cannot be read or written, or is not what its name says."""


class NotTrusted(FileProblem, PermissionError):
    """A file would run code when it is read, and nobody said that it may; the message names the risk."""


class UnusedStreamWarning(UserWarning):
    """A head does not read a stream: its attributions there are exact zeros."""


class NotConvergedWarning(UserWarning):
    """Some rows did not reach the tolerance asked for; they are flagged in the result."""


class StoreWarning(UserWarning):
    """A stored run was damaged and mended, or computed by another backend than the present one."""


class PrecisionWarning(UserWarning):
    """The dtype of a stream cannot tell values apart that the data tells apart."""


class LeftOutWarning(UserWarning):
    """A head that nobody named cannot be explained in this way, and was left out."""


class GradientWarning(UserWarning):
    """A model's gradient does not say how its output changes; methods that follow gradients are wrong then."""


class IncompleteWarning(UserWarning):
    """Attributions do not sum to what their target changed by, as their method promises: a rule was not applied;
    or a map made elsewhere is of something else."""


class InterpreterWarning(UserWarning):
    """An interpreter seldom answers as the predictor that it explains, or has attributes that take no part."""


class PluginWarning(UserWarning):
    """A plugin could not be loaded or shares its name with another one."""


class SubstituteWarning(UserWarning):
    """Another package asks for a number that an explanation does not have, and was given one in its place."""
