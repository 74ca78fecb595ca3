"""Loaders with checksums, generators with known ground truth, and rules as oracle models.

House rule: values out, nothing trained here; imports `core` alone and no deep-learning framework. Whatever is random
takes a seed; whatever comes from the net is compared with a recorded checksum before it is read, and nothing is
downloaded at import. A loader returns the same ``Data`` whatever the source.
"""

from xai_mimo.datasets.ai4i import ai4i2020, ai4i2020_path
from xai_mimo.datasets.beijing import beijing_pm25, beijing_pm25_series
from xai_mimo.datasets.data import Data
from xai_mimo.datasets.idx import idx_images, read_idx
from xai_mimo.datasets.located import Located, keyword_sequences, pasted_digits
from xai_mimo.datasets.milling import predictive_maintenance
from xai_mimo.datasets.mnist import fashion_mnist, mnist
from xai_mimo.datasets.pneumonia_mnist import pneumonia_mnist
from xai_mimo.datasets.rules import FAILURES, TRUTH, exact_rules, is_tie, smooth_rules
from xai_mimo.datasets.scaling import Scaling
from xai_mimo.datasets.sentiment_sentences import Texts, sentiment_sentences
from xai_mimo.datasets.series import Series, split, windows
from xai_mimo.datasets.smart_house import sml2010, sml2010_series

__all__ = [
    "FAILURES",
    "TRUTH",
    "Data",
    "Located",
    "Scaling",
    "Series",
    "Texts",
    "ai4i2020",
    "ai4i2020_path",
    "beijing_pm25",
    "beijing_pm25_series",
    "exact_rules",
    "fashion_mnist",
    "idx_images",
    "is_tie",
    "keyword_sequences",
    "mnist",
    "pasted_digits",
    "pneumonia_mnist",
    "predictive_maintenance",
    "read_idx",
    "sentiment_sentences",
    "smooth_rules",
    "sml2010",
    "sml2010_series",
    "split",
    "windows",
]
