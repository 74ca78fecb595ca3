"""IDX files round trip whatever their packing; files cut short, damaged or of another kind are refused."""

import gzip
import hashlib
import lzma

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tests.helpers.idx_files import idx
from xai_mimo.core.errors import BadValues, EmptyData, FileProblem, ShapeMismatch
from xai_mimo.datasets import idx_images, read_idx

pytestmark = pytest.mark.all_frameworks

PACKED = {"plain": bytes, "gzip": gzip.compress, "xz": lzma.compress}


def written(path, content):
    path.write_bytes(content)
    return path


def pair(folder, images, labels):
    return [written(folder / name, idx(np.asarray(values, "uint8"))) for name, values in (("i", images), ("l", labels))]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(array=arrays("uint8", array_shapes(max_dims=4, min_side=0, max_side=4)), packing=st.sampled_from(list(PACKED)))
def test_what_was_written_is_read_whatever_the_packing(tmp_path, array, packing):
    read = read_idx(written(tmp_path / "file", PACKED[packing](idx(array))))
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, array)


def test_a_file_written_by_hand_has_its_rows_in_order(tmp_path):
    content = bytes.fromhex("00000803 00000002 00000001 00000003 010203 fdfeff")
    np.testing.assert_array_equal(read_idx(written(tmp_path / "f", content)), [[[1, 2, 3]], [[253, 254, 255]]])


@pytest.mark.parametrize("content", [b"", b"\0\0", b"\0\0\x08\0", b"\x89PNG\r\n", b"<html>"], ids=repr)
def test_what_is_no_idx_file_is_refused_with_its_first_bytes(tmp_path, content):
    with pytest.raises(
        FileProblem, match=r"is no IDX file: it starts with .*, expected 00 00 08 and the number of axes"
    ):
        read_idx(written(tmp_path / "f", content))


def test_floats_are_refused(tmp_path):
    with pytest.raises(FileProblem, match="holds values of type code 0x0d; only unsigned bytes"):
        read_idx(written(tmp_path / "f", bytes.fromhex("00000d01 00000001 3f800000")))


@pytest.mark.parametrize("cut", [4, 6, 8, 12, 23])
def test_a_truncated_file_is_refused(tmp_path, cut):
    whole = idx(np.zeros((2, 2, 2), "uint8"))
    assert len(whole) == 24
    with pytest.raises(FileProblem, match=f"is truncated: it declares 3 axes of lengths .* and has {cut}"):
        read_idx(written(tmp_path / "f", whole[:cut]))


def test_a_header_that_declares_more_than_memory_holds_is_refused_as_truncated(tmp_path):
    with pytest.raises(FileProblem, match=r"is truncated: it declares 3 axes of lengths \(4294967295,"):
        read_idx(written(tmp_path / "f", b"\0\0\x08\x03" + b"\xff" * 12 + b"1234"))


def test_a_file_with_bytes_left_over_is_refused(tmp_path):
    with pytest.raises(FileProblem, match=r"is too long: it declares 1 axes of lengths \(3,\), 11 bytes .* has 12"):
        read_idx(written(tmp_path / "f", idx(np.zeros(3, "uint8")) + b"x"))


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_a_packed_file_that_is_cut_short_or_damaged_is_refused(tmp_path, pack):
    packed = pack(idx(np.arange(200, dtype="uint8")))
    damaged = packed[:60] + bytes(b ^ 0xFF for b in packed[60:64]) + packed[64:]
    for content in (packed[:-20], damaged):
        with pytest.raises(FileProblem, match=r"cannot be unpacked \(.*\); it is cut short or damaged"):
            read_idx(written(tmp_path / "f", content))


def test_the_checksum_is_that_of_the_unpacked_content(tmp_path):
    content = idx(np.arange(5, dtype="uint8"))
    digest = hashlib.sha256(content).hexdigest()
    for pack in PACKED.values():
        assert len(read_idx(written(tmp_path / "f", pack(content)), sha256=digest)) == 5
    other = idx(np.zeros(5, "uint8"))
    with pytest.raises(FileProblem, match=f"unpacked, has sha256 {hashlib.sha256(other).hexdigest()}, not {digest}"):
        read_idx(written(tmp_path / "f", other), sha256=digest)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileProblem, match=r"cannot read '.*nowhere': No such file"):
        read_idx(tmp_path / "nowhere")


def test_images_are_scaled_to_one_and_labels_kept_in_order(tmp_path):
    pixels = [[[0, 51], [102, 255]], [[255, 0], [0, 204]], [[1, 2], [3, 4]]]
    data = idx_images(*pair(tmp_path, pixels, [1, 0, 1]), name="tiny", head="shape", units=("round", "square"))
    np.testing.assert_array_equal(data.inputs["image"][0, :, :, 0], np.float32([[0, 0.2], [0.4, 1]]))
    assert data.inputs["image"].shape == (3, 2, 2, 1)
    assert data.inputs["image"].dtype == np.float32
    assert data.streams[0].axes == ("height", "width", "channel")
    assert data.heads[0].units == ("round", "square")
    assert data.heads[0].kind == "multiclass"
    np.testing.assert_array_equal(data.labels["shape"], [1, 0, 1])
    np.testing.assert_array_equal(data.take([2]).inputs["image"][0, 1, 1], np.float32([4 / 255]))


def test_a_label_without_a_unit_is_refused(tmp_path):
    with pytest.raises(BadValues, match=r"holds the label 2, but head 'shape' has 2 units, 0 to 1\. Name a unit for"):
        idx_images(*pair(tmp_path, np.zeros((2, 1, 1)), [0, 2]), name="t", head="shape", units=("a", "b"))


def test_exchanged_files_are_refused(tmp_path):
    images, labels = pair(tmp_path, np.zeros((2, 1, 1)), [0, 1])
    with pytest.raises(ShapeMismatch, match=r"has shape \(2,\); expected the axes sample, height, width\. Were images"):
        idx_images(labels, images, name="t", head="shape", units=("a", "b"))


def test_files_that_are_no_pair_are_refused(tmp_path):
    with pytest.raises(ShapeMismatch, match=r"has 2 rows and '.*' has 3; they must be a pair"):
        idx_images(*pair(tmp_path, np.zeros((2, 1, 1)), [0, 1, 1]), name="t", head="shape", units=("a", "b"))


def test_files_without_rows_are_refused(tmp_path):
    with pytest.raises(EmptyData, match="there are no rows"):
        idx_images(*pair(tmp_path, np.zeros((0, 2, 2)), []), name="t", head="shape", units=("a", "b"))
