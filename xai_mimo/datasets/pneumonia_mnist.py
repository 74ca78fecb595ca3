"""PneumoniaMNIST: small chest X-rays of children, from a local folder."""

import hashlib
import os
import zipfile
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from xai_mimo.core.errors import BadSetting, FileProblem
from xai_mimo.core.streams import Array, Head, Stream
from xai_mimo.datasets.data import Data

Split = Literal["train", "val", "test"]
NAME = "pneumonia_mnist"
FILES = ("pneumoniamnist.npz", "pneumoniamnist_rebuilt.npz")
CONTENT = {
    "train": "2314d45df1c1cd156f60a5d892ee62bb7e211988582185ed111e0214f4e2bcd1",
    "val": "106be82596640d98e9b65de30213d696c0b8869fd4d7ed6ac336151e95f85da6",
    "test": "41c6f2db35a464895452dbde5daf4c71192483d09a7725805b65e76de8d0acfb",
}
"""SHA-256 over the sorted rows, each the bytes of the image and of the label. They are of a copy put together from two
public ones that agree in every image and label they share; its classes are as many as the official ones."""
CITATION = (
    "J. Yang, R. Shi, D. Wei, Z. Liu, L. Zhao, B. Ke, H. Pfister and B. Ni (2023), MedMNIST v2, Scientific Data 10, "
    "41; images of D. S. Kermany et al. (2018), Cell 172 (CC BY 4.0)"
)


def pneumonia_mnist(folder: str | os.PathLike[str] | None = None, *, split: Split = "train") -> Data:
    """Chest X-rays of 28 x 28 pixels: 4708 to train on, 524 to validate, 624 to test.

    Stream ``image``, ``(sample, 28, 28, 1)`` in float32 from 0 (black) to 1. Heads: ``pneumonia``, binary (1 in 3494,
    389 and 390 images); ``mean_intensity``, a quantity computed here as the mean of all pixels, so that each pixel's
    true share in it is known: 1/784.

    The published file is not fetched: put ``pneumoniamnist.npz`` of MedMNIST v2 into a folder. Its content is checked,
    not its bytes, by a checksum over the sorted rows, so that a file with the same images and labels in another order
    (``pneumoniamnist_rebuilt.npz``) is taken too. Rows are then put into one fixed random order, the same for both.

    The original has duplicates: 18 within "train", 3 within "test", 8 images in both "train" and "val"; none in both
    "train" and "test".

    Args:
        folder: where the file lies; None for ``$XAI_MIMO_DATA/pneumonia_mnist``.
        split: "train", "val" or "test", the official ones.
    Raises:
        BadSetting: no such split. FileProblem: the file cannot be found or read, or holds other images or labels.
    Source: J. Yang et al. (2023), "MedMNIST v2", Scientific Data 10, 41.
    """
    if split not in get_args(Split):
        raise BadSetting(f"split {split!r} is not one of {', '.join(get_args(Split))}.")
    path = _find(folder)
    images, labels = _read(path, split)
    rows = [image.tobytes() + label.tobytes() for image, label in zip(images, labels, strict=True)]
    order = sorted(range(len(rows)), key=rows.__getitem__)
    digest = hashlib.sha256(b"".join(rows[i] for i in order)).hexdigest()
    if digest != CONTENT[split]:
        raise FileProblem(
            f"'{path}' holds other images or labels in its split '{split}' than MedMNIST v2 (sha256 of the sorted rows "
            f"{digest}, not {CONTENT[split]}). Fetch PneumoniaMNIST in 28 x 28 pixels again."
        )
    shuffled = np.random.default_rng(0).permutation(np.asarray(order))
    return _data(split, images[shuffled], labels[shuffled])


def _find(folder: str | os.PathLike[str] | None) -> Path:
    if folder is None and "XAI_MIMO_DATA" in os.environ:
        folder = Path(os.environ["XAI_MIMO_DATA"]) / NAME
    for file in FILES if folder is not None else ():
        if (Path(folder or "") / file).is_file():
            return Path(folder or "") / file
    where = "no folder is named and XAI_MIMO_DATA is not set" if folder is None else f"it is not in '{folder}'"
    raise FileProblem(f"cannot find {FILES[0]}: {where}. Fetch PneumoniaMNIST of MedMNIST v2 and name its folder.")


def _read(path: Path, split: Split) -> tuple[Array, Array]:
    """Images ``(sample, 28, 28)`` and labels ``(sample,)``, bytes."""
    try:
        with np.load(path, allow_pickle=False) as file:
            images, labels = file[f"{split}_images"], file[f"{split}_labels"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as err:
        raise FileProblem(f"cannot read split '{split}' of '{path}': {err}. Fetch it again.") from err
    if images.shape[1:] != (28, 28) or labels.shape != (len(images), 1):
        raise FileProblem(
            f"'{path}' has images {images.shape} and labels {labels.shape} in split '{split}'; expected (n, 28, 28) "
            "and (n, 1)."
        )
    return images.astype(np.uint8), labels[:, 0].astype(np.uint8)


def _data(split: Split, images: Array, labels: Array) -> Data:
    pixels = np.divide(images[..., None], 255.0, dtype=np.float32)
    return Data(
        name=f"{NAME}_{split}",
        inputs={"image": pixels},
        labels={"pneumonia": labels.astype(np.int64), "mean_intensity": pixels.mean(axis=(1, 2, 3), dtype=np.float64)},
        streams=(Stream("image", (28, 28, 1), "float32", features=("intensity",)),),
        heads=(Head("pneumonia", (1,), "binary"), Head("mean_intensity", (1,), "regression")),
        truth={},
        units={"image": ("",)},
        ties=np.zeros(len(pixels), bool),
        source=CITATION,
    )
