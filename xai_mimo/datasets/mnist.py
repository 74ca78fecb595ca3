"""MNIST and Fashion-MNIST: handwritten digits, and articles of clothing in the same layout."""

import os

from xai_mimo.datasets.data import Data
from xai_mimo.datasets.image_sets import ImageSet, Split

_DIGITS = ImageSet(
    name="mnist",
    head="digit",
    units=tuple("0123456789"),
    url="https://ossci-datasets.s3.amazonaws.com/mnist",
    sha256={
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    source="Y. LeCun, C. Cortes and C. J. C. Burges, The MNIST database of handwritten digits (CC BY-SA 3.0)",
)
_FASHION = ImageSet(
    name="fashion_mnist",
    head="garment",
    units=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    sha256={
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
    source="H. Xiao, K. Rasul and R. Vollgraf (2017), Fashion-MNIST, Zalando Research (MIT)",
)


def mnist(folder: str | os.PathLike[str] | None = None, *, split: Split = "train") -> Data:
    """Handwritten digits: 60000 images of 28 x 28 to train on, 10000 to test.

    Stream ``image``, ``(sample, 28, 28, 1)`` in float32 from 0 (background) to 1 (ink); head ``digit``, multiclass,
    ten units. A training split takes 188 MB; ``.take(rows)`` keeps some rows.

    Args:
        folder: where the four files lie, plain or as ``.gz`` or ``.xz``. None: in ``$XAI_MIMO_DATA/mnist`` and, where
            that variable is not set, in the user's cache, into which they are downloaded once, from the mirror that
            torchvision names. The authors' page is no longer served reliably; checksums of the uncompressed files tell
            that the content is theirs.
        split: "train" or "test", the official ones.
    Raises:
        BadSetting, FileProblem, MissingDependency: see ``ImageSet.load``.
    Source: Y. LeCun, L. Bottou, Y. Bengio and P. Haffner (1998), "Gradient-Based Learning Applied to Document
        Recognition", Proceedings of the IEEE 86, Section III.A.
    """
    return _DIGITS.load(folder, split)


def fashion_mnist(folder: str | os.PathLike[str] | None = None, *, split: Split = "train") -> Data:
    """Articles of clothing: 60000 images of 28 x 28 to train on, 10000 to test, as many of each of ten classes.

    Stream ``image``, ``(sample, 28, 28, 1)`` in float32 from 0 (background) to 1; head ``garment``, multiclass, units
    named as by the authors. A training split takes 188 MB; ``.take(rows)`` keeps some rows.

    Args:
        folder: where the four files lie, plain or as ``.gz`` or ``.xz``. None: in ``$XAI_MIMO_DATA/fashion_mnist`` and,
            where that variable is not set, in the user's cache, into which they are downloaded once, from the authors'
            server. It has no encrypted door; checksums of the uncompressed files tell that the content is theirs.
        split: "train" or "test", the official ones.
    Raises:
        BadSetting, FileProblem, MissingDependency: see ``ImageSet.load``.
    Source: H. Xiao, K. Rasul and R. Vollgraf (2017), "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine
        Learning Algorithms", arXiv 1708.07747.
    """
    return _FASHION.load(folder, split)
