"""NumPy archives: what is written is read back; NaN, ragged and unequal arrays are refused with their place."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_array

from labelcontrast.data.columns import ColumnNames
from labelcontrast.data.npz import read_npz
from labelcontrast.errors import DataError

X = np.arange(6, dtype=np.float32).reshape(3, 2)
Y = np.array([[1, 0], [0, 0], [1, 1]], dtype=np.uint8)


def saved(path: Path, **content: object) -> Path:
    np.savez_compressed(path, **content)
    return path


@st.composite
def archives(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    rows, width, labels = draw(st.integers(1, 6)), draw(st.integers(1, 4)), draw(st.integers(1, 4))
    numbers = {
        "f4": st.floats(-(2.0**99), 2.0**99, width=32),
        "f8": st.floats(-1e30, 1e30),
        "u1": st.integers(0, 255),
        "?": st.booleans(),
    }
    dtype = draw(st.sampled_from(sorted(numbers)))
    return draw(arrays(dtype, (rows, width), elements=numbers[dtype])), draw(
        arrays("u1", (rows, labels), elements=st.integers(0, 1))
    )


@settings(deadline=None, max_examples=30)
@given(archives())
def test_a_written_archive_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, archive: tuple[np.ndarray, np.ndarray]
) -> None:
    features, hot = archive
    names = [f"tag {number}" for number in range(hot.shape[1])]
    path = saved(tmp_path_factory.mktemp("npz") / "a.npz", X=features, Y=hot, label_names=names)
    examples = read_npz(path, ColumnNames())
    assert isinstance(examples.inputs, np.ndarray)
    assert examples.inputs.dtype == np.float32
    np.testing.assert_array_equal(examples.inputs, features.astype(np.float32))
    assert examples.label_sets == [tuple(name for name, on in zip(names, row, strict=True) if on) for row in hot]
    assert examples.label_names == tuple(names)


def test_other_names_and_a_split_are_understood(tmp_path: Path) -> None:
    examples = read_npz(saved(tmp_path / "a.npz", features=X, labels=Y, split=[0, 2, 1]), ColumnNames())
    assert examples.label_sets == [("label_0",), (), ("label_0", "label_1")]
    assert (examples.parts, examples.ids) == (["train", "val", "test"], ["1", "2", "3"])
    assert examples.understood == f"{tmp_path / 'a.npz'}: 3 rows of 2 features; 2 labels"


def test_without_labels_there_are_none(tmp_path: Path) -> None:
    assert read_npz(saved(tmp_path / "a.npz", X=X), ColumnNames()).label_sets is None


def broken(value: float) -> np.ndarray:
    features = X.astype(np.float64)
    features[2, 1] = value
    return features


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"X": broken(np.nan), "Y": Y}, "X[2, 1] is nan; features are finite numbers in 32 bits."),
        ({"X": broken(1e300), "Y": Y}, "X[2, 1] is 1e+300; features are finite numbers in 32 bits."),
        (
            {"X": np.array([[1, 2], [3]], dtype=object), "Y": Y},
            "X is ragged or holds objects; expected one rectangle of numbers.",
        ),
        ({"X": X[0], "Y": Y}, "X must be numbers [examples, features]. Got float32 [2]."),
        ({"X": X.astype(str), "Y": Y}, "X must be numbers [examples, features]. Got <U32 [3, 2]."),
        ({"X": X[:0], "Y": Y[:0]}, "X must be numbers [examples, features]. Got float32 [0, 2]."),
        ({"X": X, "Y": Y[:2]}, "Y must be 0 and 1 [3 examples, labels]. Got uint8 [2, 2]."),
        ({"X": X, "Y": Y * 2}, "Y[0, 0] must be 0, 1, a number between, or NaN or -1 where it is unknown. Got 2."),
        ({"X": X, "Y": Y, "label_names": ["a"]}, "there are 1 label_names, but Y has 2 columns."),
        ({"X": X, "Y": Y, "label_names": ["a", "a"]}, 'label "a" stands twice in the vocabulary.'),
        ({"X": X, "Y": Y, "split": [0, 1, 3]}, "split must be 3 numbers, each 0 (train), 1 (test) or 2 (val)."),
        ({"x": X, "Y": Y}, 'there is no array "X" or "features"; the arrays are "x", "Y".'),
    ],
)
def test_an_odd_archive_is_refused(content: dict[str, object], message: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npz", **content)
    with pytest.raises(DataError) as refusal:
        read_npz(path, ColumnNames())
    assert str(refusal.value) == f"{path}: {message}"


@pytest.mark.parametrize("content", [b"not an archive", b"PK\x03\x04 broken"])
def test_what_is_no_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(DataError) as refusal:
        read_npz(path, ColumnNames())
    assert str(refusal.value) == f"{path}: not a NumPy archive that can be read."


def test_labels_may_be_soft_or_unknown(tmp_path: Path) -> None:
    soft = np.array([[1, 0.25], [np.nan, 0.75], [-1, 0]])
    examples = read_npz(saved(tmp_path / "a.npz", X=X, Y=soft), ColumnNames())
    assert examples.label_sets == [("label_0",), ("label_1",), ()]
    assert repr(examples.values) == "[{'label_1': 0.25}, {'label_0': nan, 'label_1': 0.75}, {'label_0': nan}]"


def test_labels_may_be_sparse(tmp_path: Path) -> None:
    matrix = csr_array(Y)
    parts = {"Y_data": matrix.data, "Y_indices": matrix.indices, "Y_indptr": matrix.indptr, "Y_shape": matrix.shape}
    sparse = read_npz(saved(tmp_path / "a.npz", X=X, **parts), ColumnNames())
    dense = read_npz(saved(tmp_path / "b.npz", X=X, Y=Y), ColumnNames())
    assert sparse.label_sets == dense.label_sets
    assert sparse.label_names == dense.label_names
    with pytest.raises(DataError, match="expected a CSR matrix in"):
        read_npz(saved(tmp_path / "c.npz", X=X, Y_data=matrix.data), ColumnNames())
    with pytest.raises(DataError, match="Y has 3 rows, but there are 2 examples"):
        read_npz(saved(tmp_path / "d.npz", X=X[:2], **parts), ColumnNames())
