"""Sentiment labelled sentences: short reviews from three sites, from a local folder or their official source."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from xai_mimo.core.errors import BadSetting, FileProblem
from xai_mimo.core.streams import Array, Head, Stream
from xai_mimo.datasets.archive import Archive
from xai_mimo.datasets.data import Data

Split = Literal["train", "test"]
SITES = {"amazon": "amazon_cells_labelled.txt", "imdb": "imdb_labelled.txt", "yelp": "yelp_labelled.txt"}
ARCHIVE = Archive(
    name="sentiment_sentences",
    number=331,
    url="https://archive.ics.uci.edu/static/public/331/sentiment+labelled+sentences.zip",
    sha256={
        "amazon_cells_labelled.txt": "47003fc0a0d4840b00e96e715b6189bad09e7443a3da41c4cbe12ffc79f86ae3",
        "imdb_labelled.txt": "29cb10b2bfbc60ea33dcbd5abaa8bcf977b142cec7926c627dd76232aaafbfed",
        "yelp_labelled.txt": "c76468b7b5c6e56a0804d728345c5f84aa2142ddb214420f61cc9cfd4c00d2ea",
    },
)
CITATION = (
    "D. Kotzias, M. Denil, N. de Freitas and P. Smyth (2015), Sentiment Labelled Sentences, UCI ML Repository, data "
    "set 331 (CC BY 4.0)"
)
PADDING, UNKNOWN = "<pad>", "<unknown>"
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*|[0-9]+|[!?]")
_TEST = 100  # of the 500 sentences of each site and sentiment


@dataclass(frozen=True)
class Texts:
    """Sentences as tokens, and the words that the tokens stand for.

    Attributes:
        data: the rows.
        words: the word of each token; token 0 is padding, 1 a word outside the vocabulary.
    """

    data: Data
    words: tuple[str, ...]

    def sentence(self, row: int) -> list[str]:
        """The words of one row, without padding."""
        return [self.words[token] for token in self.data.inputs["text"][row] if token]


def sentiment_sentences(
    folder: str | os.PathLike[str] | None = None,
    *,
    split: Split = "train",
    length: int = 32,
    vocabulary: int = 2000,
) -> Texts:
    """3000 sentences of reviews of phones, films and restaurants, half of them positive.

    Streams: ``text``, ``(sample, length)``, int32, tokens of lower-case words, numbers and the marks ! and ?, cut off
    or padded with 0 at the end; ``site``, which site the sentence is from, one-hot. Heads: ``sentiment``, binary, 1 is
    positive; ``site``, multiclass, a copy of the stream of that name, so that a model which reads the stream must give
    it all credit; a model of the text alone must tell the site from words.

    The published files have no split. Ours is fixed: of the 500 sentences of each site and sentiment 100 are "test",
    drawn once. The vocabulary is that of the training sentences, whatever the split: the most frequent words, equally
    frequent ones in alphabetical order.

    Args:
        folder: where the three files lie; see ``Archive.find``.
        split: "train", 2400 sentences, or "test", 600.
        length: of each row, in tokens.
        vocabulary: number of tokens, padding and the unknown word among them.
    Raises:
        BadSetting: no such split, a length below 1 or a vocabulary below 3. FileProblem, MissingDependency: see
            ``Archive.find``.
    Source: D. Kotzias et al. (2015), "From Group to Individual Labels using Deep Features", KDD.
    """
    if split not in get_args(Split):
        raise BadSetting(f"split {split!r} is not one of {', '.join(get_args(Split))}.")
    if length < 1 or vocabulary < 3:
        raise BadSetting(f"length must be at least 1 and vocabulary at least 3; got {length} and {vocabulary}.")
    lines = _read(ARCHIVE.find(folder))
    is_test = _is_test(lines)
    words = _vocabulary([text for (text, _, _), held in zip(lines, is_test, strict=True) if not held], vocabulary)
    chosen = [line for line, held in zip(lines, is_test, strict=True) if held == (split == "test")]
    return Texts(_data(split, chosen, words, length), words)


def tokenize(text: str) -> list[str]:
    """Lower-case words, numbers, ! and ?; apostrophes within words stay."""
    return _WORD.findall(text.lower().replace("\u2019", "'"))


def _read(paths: dict[str, Path]) -> list[tuple[str, int, int]]:
    """Text, sentiment and site of every sentence.

    Lines end with a line feed and nothing else: sentences hold U+0085, which ``str.splitlines`` would break at.
    """
    rows = []
    for site, file in enumerate(SITES.values()):
        for line in paths[file].read_bytes().decode("utf-8").split("\n"):
            text, tab, label = line.rpartition("\t")
            if tab and label.strip() in ("0", "1"):
                rows.append((text, int(label), site))
            elif line.strip():
                raise FileProblem(f"'{paths[file]}' has a line that is not 'sentence TAB 0 or 1': {line[:60]!r}.")
    return rows


def _is_test(lines: Sequence[tuple[str, int, int]]) -> Array:
    rng = np.random.default_rng(0)
    group = np.array([2 * site + label for _, label, site in lines])
    held = np.zeros(len(lines), bool)
    for value in range(2 * len(SITES)):
        held[rng.permutation(np.flatnonzero(group == value))[:_TEST]] = True
    return held


def _vocabulary(texts: Sequence[str], size: int) -> tuple[str, ...]:
    counts = Counter(word for text in texts for word in tokenize(text))
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return (PADDING, UNKNOWN, *ranked[: size - 2])


def _data(split: Split, lines: Sequence[tuple[str, int, int]], words: Sequence[str], length: int) -> Data:
    numbers = {word: token for token, word in enumerate(words)}
    tokens = np.zeros((len(lines), length), np.int32)
    for row, (text, _, _) in zip(tokens, lines, strict=True):
        codes = [numbers.get(word, 1) for word in tokenize(text)][:length]
        row[: len(codes)] = codes
    sites = np.array([site for _, _, site in lines])
    return Data(
        name=f"sentiment_sentences_{split}",
        inputs={"text": tokens, "site": np.eye(len(SITES))[sites]},
        labels={"sentiment": np.array([label for _, label, _ in lines]), "site": sites},
        streams=(
            Stream("text", (length,), "int32", axes=("token",)),
            Stream("site", (len(SITES),), "float64", features=tuple(SITES), groups={"site": tuple(SITES)}),
        ),
        heads=(Head("sentiment", (1,), "binary"), Head("site", (len(SITES),), "multiclass", tuple(SITES))),
        truth={"site": {"site": tuple(SITES)}},
        units={"text": ("",) * length, "site": ("",) * len(SITES)},
        ties=np.zeros(len(lines), bool),
        source=CITATION,
    )
