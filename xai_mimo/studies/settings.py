"""What a study is: a TOML file, checked before anything is read or trained."""

import os
import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from xai_mimo.core.errors import BadSetting, FileProblem
from xai_mimo.core.names import check_text
from xai_mimo.core.paths import as_path
from xai_mimo.core.streams import unknown

Scoring = Literal["dense", "stream", "local", "additive", "static"]
Name = Annotated[str, Field(min_length=1, pattern=r"^[^/\s]+$"), AfterValidator(lambda name: check_text(name, "entry"))]
_SHOWN = 80  # characters of a value in an error
_LARGEST = 2**31 - 1  # of whole numbers: what NumPy and the frameworks take everywhere
Positive = Annotated[int, Field(gt=0, le=_LARGEST)]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StreamSettings(_Settings):
    """A stream: columns of the table, read side by side.

    Attributes:
        columns: names in the header.
        categorical: those of them that hold text or codes; each becomes one 0/1 feature per level, "<column>=<level>",
            which are explained, replaced and shown together as "<column>".
        unit: physical unit, where all columns share one.
    """

    columns: Annotated[tuple[str, ...], Field(min_length=1)]
    categorical: tuple[str, ...] = ()
    unit: str = ""

    @model_validator(mode="after")
    def _categorical_are_columns(self) -> "StreamSettings":
        for column in self.categorical:
            if column not in self.columns:
                raise ValueError(f"categorical names '{column}', which is not one of its columns")
        return self


class HeadSettings(_Settings):
    """A head: one column to predict.

    Attributes:
        column: name in the header.
        kind: "binary" (0 and 1), "multiclass" (any levels) or "regression".
        truth: columns that this head is known to depend on, by stream; left out where nobody knows.
    """

    column: str
    kind: Literal["binary", "multiclass", "regression"]
    truth: dict[str, tuple[str, ...]] | None = None


class TrainingSettings(_Settings):
    """How the networks are trained.

    Attributes:
        scorings: of the MAIL networks; the baseline network without MAIL is always trained.
        seeds: each draws its own split, initial weights and order of rows.
        epochs, batch, learning_rate: of Adam.
        hidden: width of the layer behind MAIL, and of the baseline's first layer.
        test_share: share of rows held out, stratified on the classes of all heads together.
        balance: weight of a class is (rows / (classes * rows of the class)) ** balance: 0 leaves rare classes rare, 1
            makes all classes weigh the same.
    """

    scorings: Annotated[tuple[Scoring, ...], Field(min_length=1)] = ("local",)
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**32)], ...], Field(min_length=1)] = (0, 1, 2, 3, 4)
    epochs: Positive = 100
    batch: Positive = 128
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 3e-3
    hidden: Positive = 32
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.3
    balance: Annotated[float, Field(ge=0, le=1)] = 0.0


class ExplainingSettings(_Settings):
    """What is explained, and how.

    Attributes:
        methods: by name; the networks without MAIL leave interception out.
        rows: at most so many held-out rows per head and network: positives of a binary head, else a random draw.
        negatives: in the report, at most so many negatives per binary head beside the positives: those that the
            network scores highest, which lie near its boundary.
        report: scoring of the network that the report shows; default the first.
    """

    methods: Annotated[tuple[str, ...], Field(min_length=1)] = ("interception", "integrated_gradients", "shapley")
    rows: Positive = 100
    negatives: Annotated[int, Field(ge=0, le=_LARGEST)] = 20
    report: Scoring | None = None


class StudySettings(_Settings):
    """A whole study; see the shipped ``ai4i2020.toml``.

    Attributes:
        title: heads the report.
        csv: the table; a relative path counts from the settings file.
        dataset: instead of ``csv``, a data set this package can find or download.
        out: folder for everything the study makes.
        streams: by name. heads: by name.
        training: see ``TrainingSettings``. explaining: see ``ExplainingSettings``.
    """

    title: str
    csv: Path | None = None
    dataset: Literal["ai4i2020"] | None = None
    out: Path | None = None
    streams: Annotated[dict[Name, StreamSettings], Field(min_length=1)]
    heads: Annotated[dict[Name, HeadSettings], Field(min_length=1)]
    training: TrainingSettings = TrainingSettings()
    explaining: ExplainingSettings = ExplainingSettings()

    @model_validator(mode="after")
    def _whole(self) -> "StudySettings":
        if (self.csv is None) == (self.dataset is None):
            raise ValueError("a study needs either csv = '<file>' or dataset = 'ai4i2020'")
        if self.explaining.report is not None and self.explaining.report not in self.training.scorings:
            raise ValueError(f"explaining.report = '{self.explaining.report}' is not one of training.scorings")
        for name, head in self.heads.items():
            for stream, columns in (head.truth or {}).items():
                if stream not in self.streams:
                    raise ValueError(f"heads.{name}.truth names the stream '{stream}', which is not declared")
                for column in columns:
                    if column not in self.streams[stream].columns:
                        raise ValueError(f"heads.{name}.truth names '{column}', no column of stream '{stream}'")
        return self

    @property
    def report_scoring(self) -> Scoring:
        """Scoring of the network that the report shows."""
        return self.explaining.report or self.training.scorings[0]

    def narrowed(
        self,
        *,
        seed: int | None = None,
        rows: int | None = None,
        heads: tuple[str, ...] | None = None,
        epochs: int | None = None,
    ) -> "StudySettings":
        """The same study with one seed, fewer explained rows, some of the heads or other epochs; None changes nothing.

        Raises:
            UnknownName: no such head.
        """
        for head in heads or ():
            if head not in self.heads:
                raise unknown(head, self.heads, "head of the study")
        training = {"seeds": None if seed is None else (seed,), "epochs": epochs}
        return self.model_copy(
            update={
                "training": self.training.model_copy(update={k: v for k, v in training.items() if v is not None}),
                "explaining": self.explaining if rows is None else self.explaining.model_copy(update={"rows": rows}),
                "heads": self.heads if heads is None else {name: self.heads[name] for name in heads},
            }
        )


def shipped() -> list[str]:
    """Names of the studies that come with the package."""
    folder = resources.files("xai_mimo.studies")
    return sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))


def load_settings(source: str | os.PathLike[str]) -> StudySettings:
    """Read and check a study.

    Args:
        source: a TOML file, or the name of a shipped study such as "ai4i2020".
    Returns:
        The settings, ``csv`` as an absolute path.
    Raises:
        FileProblem: the file cannot be read. BadSetting: it is no TOML, or a key is missing, unknown or out of range;
            one line that names the key.
    """
    path = as_path(source, "a study")
    if str(source) in shipped():
        return _checked(resources.files("xai_mimo.studies").joinpath(f"{source}.toml").read_text("utf-8"), path)
    if path.suffix == ".csv":
        raise BadSetting(
            f"'{path}' is a table; a study is a TOML file beside it that says csv = '{path.name}', and which of its "
            "columns are inputs and which are heads."
        )
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as err:
        names = ", ".join(shipped())
        raise FileProblem(f"cannot read study '{path}': {err.strerror}. Shipped studies: {names}.") from err
    except UnicodeDecodeError as err:
        raise FileProblem(f"study '{path}' is not UTF-8 text: {err}.") from err
    settings = _checked(text, path)
    if settings.csv is None:
        return settings
    try:
        table = as_path(path.parent / settings.csv).resolve()
    except FileProblem as err:
        raise BadSetting(f"study '{path}': key 'csv': {err}") from err
    return settings.model_copy(update={"csv": table})


def _checked(text: str, path: Path) -> StudySettings:
    try:
        return StudySettings.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as err:
        raise BadSetting(f"study '{path}' is not valid TOML: {err}.") from err
    except ValidationError as err:
        raise BadSetting(f"study '{path}': {_first_problem(err)}") from err
    except (ValueError, RecursionError) as err:  # of the parser, which leaves both to Python
        raise BadSetting(
            f"study '{path}' holds a number too large or lists too deep to be a study ({str(err).split(';')[0]})."
        ) from err


def _first_problem(error: ValidationError) -> str:
    # A misspelt key is also a missing one; the misspelling tells more.
    problem = min(error.errors(), key=lambda p: p["type"] != "extra_forbidden")
    where = [str(part) for part in problem["loc"]]
    key = ".".join(where)
    more = f" ({error.error_count() - 1} more problems.)" if error.error_count() > 1 else ""
    if problem["type"] == "extra_forbidden":
        table = f"[{'.'.join(where[:-1])}]" if where[:-1] else "the top level"
        return f"{unknown(where[-1], _keys_at(where[:-1]), f'key of {table}')}{more}"
    if problem["type"] == "missing":
        return f"key '{key}' is missing.{more}"
    got = "" if problem["type"] == "value_error" else f"; got {_shortened(problem['input'])}"
    text = problem["msg"].removeprefix("Value error, ")
    return f"key '{key}': {text}{got}.{more}" if key else f"{text}.{more}"


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _keys_at(where: list[str]) -> list[str]:
    model: Any = {
        "streams": StreamSettings,
        "heads": HeadSettings,
        "training": TrainingSettings,
        "explaining": ExplainingSettings,
    }.get(where[0] if where else "", StudySettings)
    return list(model.model_fields)
