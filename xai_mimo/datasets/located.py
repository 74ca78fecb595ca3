"""Images and texts that are generated with the place of their evidence: pasted digits, sequences with keywords."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from xai_mimo.core.errors import BadSetting
from xai_mimo.core.streams import Array, Head, Stream
from xai_mimo.datasets.data import Data

Split = Literal["train", "test"]
SIDE, DIGIT, FRAGMENT, FRAGMENTS = 20, 8, 4, 3
VOCABULARY, LENGTH, CLASSES, KEYWORDS = 60, 24, 4, 3
_TEST_ROWS = 540
_NOISE = 0.25


@dataclass(frozen=True)
class Located:
    """Rows, and where in each the evidence for its label lies.

    Attributes:
        data: the rows.
        evidence: booleans ``(sample, *positions)``; True where the evidence is.
    """

    data: Data
    evidence: Array


def pasted_digits(split: Split = "train", seed: int = 0) -> Located:
    """Each digit of scikit-learn's set once, at a random place of a noisy canvas with clutter.

    Canvas of 20 x 20 pixels: |N(0, 0.25)|, three 4 x 4 fragments of other digits pasted over it, and the 8 x 8 digit
    pasted over both. The evidence is the square of the digit, 16 % of the canvas: what a map scores by chance. Another
    seed draws other canvases of the same digits.

    Stream ``image``, ``(sample, 20, 20, 1)``, not bounded above (noise) and mostly within [0, 1]; head ``digit``,
    multiclass, ten units.

    Args:
        split: "train", 1257 digits, or "test", the 540 others, each class as often.
        seed: of the canvases; the split is always the same.
    Raises:
        BadSetting: no such split.
    Source: digits of E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", in scikit-learn; the
        canvases are ours.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    if split not in get_args(Split):
        raise BadSetting(f"split {split!r} is not one of {', '.join(get_args(Split))}.")
    pixels, labels = load_digits(return_X_y=True)
    images = (pixels / 16.0).reshape(-1, DIGIT, DIGIT)
    parts = train_test_split(images, labels, test_size=_TEST_ROWS, random_state=0, stratify=labels)
    digits, classes = (parts[0], parts[2]) if split == "train" else (parts[1], parts[3])
    canvases, evidence = _paste(digits, np.random.default_rng(seed))
    return Located(
        _data(
            "pasted_digits",
            Stream("image", (SIDE, SIDE, 1), features=("grey",)),
            canvases[..., None].astype(np.float32),
            Head("digit", (10,), "multiclass"),
            classes.astype(np.int64),
            ("grey",),
            "E. Alpaydin and C. Kaynak (1998), Optical Recognition of Handwritten Digits, UCI ML Repository, set 80",
        ),
        evidence,
    )


def _paste(digits: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Canvases and evidence, ``(sample, 20, 20)``."""
    count = len(digits)
    canvases = np.abs(rng.normal(0.0, _NOISE, (count, SIDE, SIDE)))
    for _ in range(FRAGMENTS):
        cut = _windows(
            digits[rng.integers(0, count, count)], rng.integers(0, DIGIT - FRAGMENT + 1, (count, 2)), FRAGMENT
        )
        place = rng.integers(0, SIDE - FRAGMENT + 1, (count, 2))
        _windows_of(canvases, place, FRAGMENT, cut)
    place = rng.integers(0, SIDE - DIGIT + 1, (count, 2))
    _windows_of(canvases, place, DIGIT, digits)
    evidence = np.zeros(canvases.shape, bool)
    _windows_of(evidence, place, DIGIT, np.ones(digits.shape, bool))
    return canvases, evidence


def _indices(corners: Array, side: int) -> tuple[Array, Array, Array]:
    """Row, height and width of every pixel of one square per row."""
    offsets = np.arange(side)
    rows = np.arange(len(corners))[:, None, None]
    return rows, corners[:, 0, None, None] + offsets[:, None], corners[:, 1, None, None] + offsets


def _windows(images: Array, corners: Array, side: int) -> Array:
    cut: Array = images[_indices(corners, side)]
    return cut


def _windows_of(images: Array, corners: Array, side: int, values: Array) -> None:
    """Write one square per row into the images."""
    images[_indices(corners, side)] = values


def keyword_sequences(n: int = 1000, seed: int = 0) -> Located:
    """Texts of 24 words whose class hangs on two keywords, beside one keyword of another class.

    The vocabulary has 60 words, tokens 1 to 60 (0 is padding and does not occur): three keywords for each of four
    classes, 48 words without meaning. A text has two keywords of its class, which may be the same, one of another class
    as a distractor, at random places, and 21 other words. The evidence is the two keywords: one place in twelve.

    Stream ``text``, ``(sample, 24)``, int32; head ``topic``, multiclass, four units.

    Args:
        n: number of texts.
        seed: the same seed gives the same texts.
    Raises:
        BadSetting: fewer than one text.
    Source: ours.
    """
    if n < 1:
        raise BadSetting(f"n is the number of texts and must be at least 1; got {n}.")
    rng = np.random.default_rng(seed)
    topics = rng.integers(0, CLASSES, n)
    others = (topics + rng.integers(1, CLASSES, n)) % CLASSES
    tokens = rng.integers(1 + CLASSES * KEYWORDS, 1 + VOCABULARY, (n, LENGTH))
    places = np.argsort(rng.random((n, LENGTH)), axis=1)[:, :3]
    owners = np.stack([topics, topics, others], axis=1)
    keywords = 1 + owners * KEYWORDS + rng.integers(0, KEYWORDS, owners.shape)
    np.put_along_axis(tokens, places, keywords, axis=1)
    evidence = np.zeros(tokens.shape, bool)
    np.put_along_axis(evidence, places[:, :2], True, axis=1)
    head = Head("topic", (CLASSES,), "multiclass")
    stream = Stream("text", (LENGTH,), "int32", axes=("token",))
    return Located(
        _data("keyword_sequences", stream, tokens.astype(np.int32), head, topics.astype(np.int64), ("",) * LENGTH, ""),
        evidence,
    )


def word(token: int) -> str:
    """What a token of ``keyword_sequences`` is called: "<pad>", "topic0.a" for a keyword, "word13" for another word."""
    if token == 0:
        return "<pad>"
    if token <= CLASSES * KEYWORDS:
        return f"topic{(token - 1) // KEYWORDS}.{'abc'[(token - 1) % KEYWORDS]}"
    return f"word{token}"


def _data(
    name: str, stream: Stream, values: Array, head: Head, labels: Array, units: tuple[str, ...], source: str
) -> Data:
    return Data(
        name=name,
        inputs={stream.name: values},
        labels={head.name: labels},
        streams=(stream,),
        heads=(head,),
        truth={},
        units={stream.name: units},
        ties=np.zeros(len(values), bool),
        source=source,
    )
