"""Pasted digits and keyword texts: the evidence that they say is there is where they say."""

import numpy as np
import pytest

from xai_mimo.core.errors import BadSetting
from xai_mimo.datasets import keyword_sequences, pasted_digits
from xai_mimo.datasets.located import word

pytestmark = pytest.mark.all_frameworks


@pytest.fixture(scope="module")
def digits():
    return pasted_digits("test", seed=3)


def test_evidence_is_the_square_that_holds_the_digit(digits):
    from sklearn.datasets import load_digits

    known = {image.astype(np.float32).tobytes() for image in load_digits().images / 16.0}
    canvases, evidence = digits.data.inputs["image"][..., 0], digits.evidence
    assert canvases.shape == evidence.shape == (540, 20, 20)
    assert (evidence.sum(axis=(1, 2)) == 64).all()
    assert all(canvas[here].tobytes() in known for canvas, here in zip(canvases, evidence, strict=True))


def test_digits_are_split_once_and_drawn_anew_with_each_seed(digits):
    other, train = pasted_digits("test", seed=4), pasted_digits("train")
    np.testing.assert_array_equal(other.data.labels["digit"], digits.data.labels["digit"])
    assert not np.array_equal(other.evidence, digits.evidence)
    assert len(train.data) == 1257
    np.testing.assert_array_equal(pasted_digits("test", seed=3).evidence, digits.evidence)


def test_canvas_has_noise_and_clutter_around_the_digit(digits):
    outside = digits.data.inputs["image"][..., 0][~digits.evidence]
    # Half-normal noise has the median .6745 * .25; fragments cover less than a tenth of the rest and raise it a little.
    assert 0.16 < np.median(outside) < 0.19
    assert (outside == 1.0).mean() > 0.005  # full ink, which noise never equals exactly


def test_every_text_has_two_keywords_of_its_topic_and_one_of_another():
    texts = keyword_sequences(500, seed=1)
    tokens, topics = texts.data.inputs["text"], texts.data.labels["topic"]
    owners = np.where(tokens <= 12, (tokens - 1) // 3, -1)
    assert (texts.evidence.sum(axis=1) == 2).all()
    assert (owners[texts.evidence].reshape(500, 2) == topics[:, None]).all()
    assert ((owners >= 0).sum(axis=1) == 3).all()
    distractors = owners[(owners >= 0) & ~texts.evidence]
    assert (distractors != topics).all()
    assert set(tokens.ravel()) == set(range(1, 61))
    assert [word(t) for t in (0, 1, 6, 12, 13)] == ["<pad>", "topic0.a", "topic1.c", "topic3.c", "word13"]


def test_settings_are_checked():
    with pytest.raises(BadSetting, match="split 'val' is not one of train, test"):
        pasted_digits("val")
    with pytest.raises(BadSetting, match="n is the number of texts and must be at least 1; got 0"):
        keyword_sequences(0)
