"""Labels in the words or numbers of the classes, which a model may not count from 0."""

import numpy as np
import pytest

from xai_mimo.core.errors import BadValues, DuplicateName, ShapeMismatch
from xai_mimo.core.labels import CheckedLabels, check_labels
from xai_mimo.core.streams import Head

pytestmark = pytest.mark.all_frameworks


def checked(values, head):
    return check_labels({"y": values}, [head], len(values))["y"].tolist()


def test_words_of_a_binary_head():
    head = Head("y", (1,), "binary", units=("urgent",), class_labels=("routine", "urgent"))
    assert checked(np.array(["urgent", "routine", "urgent"]), head) == [1, 0, 1]
    assert checked([1, 0, 1], head) == [1, 0, 1]  # no class is called by a number, so this can only be theirs
    with pytest.raises(BadValues, match=r"hold 'later', which is none of its classes \(routine, urgent\)"):
        checked(["urgent", "later"], head)


@pytest.mark.parametrize("form", [np.array([2, 1, 3]), [2.0, 1.0, 3.0], np.array(["2", "1", "3"])])
def test_numbers_that_do_not_begin_at_0_are_classes_and_not_places(form):
    head = Head("y", (3,), "multiclass", units=("1", "2", "3"), class_labels=("1", "2", "3"))
    assert checked(form, head) == [1, 0, 2]


def test_a_place_is_refused_where_classes_are_called_by_other_numbers():
    head = Head("y", (3,), "multiclass", class_labels=("1", "2", "3"))
    with pytest.raises(BadValues, match=r"hold 0, which is none of its classes \(1, 2, 3\)"):
        checked([0, 1, 2], head)


def test_one_column_for_each_class_stays():
    head = Head("y", (3,), "multiclass", class_labels=("5", "7", "9"))
    assert checked(np.eye(3), head) == np.eye(3).tolist()


def test_what_was_checked_is_not_read_again():
    head = Head("y", (3,), "multiclass", class_labels=("1", "2", "3"))
    once = CheckedLabels(check_labels({"y": [2, 1, 3]}, [head], 3))
    assert check_labels(once, [head], 3)["y"].tolist() == [1, 0, 2]


def test_signs_as_classes():
    head = Head("y", (1,), "binary", class_labels=("-1", "1"))
    assert checked([-1, 1, 1], head) == [0, 1, 1]


def test_each_class_has_one_label():
    with pytest.raises(ShapeMismatch, match="has 2 classes but 3 labels"):
        Head("y", (1,), "binary", class_labels=("a", "b", "c"))
    with pytest.raises(DuplicateName, match="two label"):
        Head("y", (1,), "binary", class_labels=("a", "a"))
