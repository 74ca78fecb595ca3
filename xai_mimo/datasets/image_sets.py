"""Published sets of labelled grey images: where their files lie, and what they must contain."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from xai_mimo.core.errors import BadSetting, FileProblem, MissingDependency
from xai_mimo.datasets.data import Data
from xai_mimo.datasets.idx import idx_images

Split = Literal["train", "test"]
_PREFIX = {"train": "train", "test": "t10k"}
_ENDINGS = (".gz", ".xz", "")


@dataclass(frozen=True)
class ImageSet:
    """Four IDX files under their customary names, ``train-images-idx3-ubyte`` and so on.

    Attributes:
        name: of the data set and of its folder.
        head, units: what the classes tell, and their names in the order of the labels.
        url: folder that the files, gzipped, are fetched from.
        sha256: checksum of each file, uncompressed, by its name without ``.gz``.
        source: for a citation.
    """

    name: str
    head: str
    units: tuple[str, ...]
    url: str
    sha256: Mapping[str, str]
    source: str

    def load(self, folder: str | os.PathLike[str] | None, split: Split) -> Data:
        """One of the two official splits.

        Args:
            folder: where the files lie, plain or as ``.gz`` or ``.xz``. None: in ``$XAI_MIMO_DATA/<name>`` and, where
                that variable is not set, in the user's cache, into which they are downloaded once.
            split: "train" or "test".
        Raises:
            BadSetting: no such split. FileProblem: a file cannot be found, fetched or read, or is not the published
                one. MissingDependency: pooch is needed to download.
        """
        if split not in get_args(Split):
            raise BadSetting(f"split {split!r} of {self.name} is not one of {', '.join(get_args(Split))}.")
        files = [f"{_PREFIX[split]}-{kind}-ubyte" for kind in ("images-idx3", "labels-idx1")]
        if folder is None and "XAI_MIMO_DATA" in os.environ:
            folder = Path(os.environ["XAI_MIMO_DATA"]) / self.name
        images, labels = [self._download(f) if folder is None else self._find(Path(folder), f) for f in files]
        return idx_images(
            images,
            labels,
            name=f"{self.name}_{split}",
            head=self.head,
            units=self.units,
            source=self.source,
            sha256=(self.sha256[files[0]], self.sha256[files[1]]),
        )

    def _find(self, folder: Path, file: str) -> Path:
        for path in (folder / f"{file}{ending}" for ending in _ENDINGS):
            if path.is_file():
                return path
        raise FileProblem(
            f"there is no {file}, plain or as .gz or .xz, in '{folder}'; put the files of {self.name} there, or name "
            "no folder (and unset XAI_MIMO_DATA) to have them downloaded."
        )

    def _download(self, file: str) -> Path:
        try:
            import pooch
        except ImportError as err:
            raise MissingDependency("downloading data needs pooch: pip install pooch") from err
        url, cache = f"{self.url}/{file}.gz", Path(pooch.os_cache("xai_mimo")) / self.name
        try:  # the content is checked when it is read, and packing does not change it
            return Path(pooch.retrieve(url, known_hash=None, fname=f"{file}.gz", path=cache))
        except (OSError, ValueError) as err:
            raise FileProblem(f"cannot download {url}: {err}. Fetch it by hand into a folder and name it.") from err
