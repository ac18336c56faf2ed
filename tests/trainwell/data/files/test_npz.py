"""A user's file: the samples that come of it, and a sentence for every fault."""

import io
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from trainwell.data.files.npz import load_npz, map_npz

HOLE = np.ones((60, 4))
HOLE[17, 2] = np.nan
HUGE = np.ones((60, 4))
HUGE[17, 2] = 1e39
TEST = {"x_test": np.ones((3, 2, 3)), "y_test": np.arange(3)}
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no y": ({"y": None}, "lacks the array y"),
    "half a test set": ({"x_test": np.ones((3, 2, 3))}, "lacks the array y_test"),
    "text": ({"x": np.full((60, 4), "a")}, "x must hold numbers, it holds <U1; save numpy.unique(x"),
    "dates": ({"x": np.zeros((60, 4), "M8[s]")}, 'x must hold numbers, it holds datetime64[s]; save x.astype("int64")'),
    "complex": ({"x": np.ones((60, 4), complex)}, "x must hold numbers, it holds complex128"),
    "objects": ({"x": np.array([object()] * 60)}, "holds Python objects; save arrays of numbers"),
    "one axis": ({"x": np.ones(60)}, "the shape (samples, features...), it has (60,); save x.reshape(-1, 1)"),
    "no samples": ({"x": np.ones((0, 4)), "y": np.zeros(0, int)}, "y must have the shape (samples,), it has (0,)"),
    "a hole": ({"x": HOLE}, "x has missing or infinite values in 1 sample, the first is sample 17"),
    "lengths": ({"y": np.arange(59) % 3}, "x has 60 samples and y has 59"),
    "whole floats": ({"y": np.arange(60) % 3.0}, "it holds float64; save y.astype(int)"),
    "fractions": ({"y": np.arange(60) / 3}, "it holds float64; these are no classes"),
    "numbers as text": ({"x": np.full((60, 4), "0.5")}, "it holds <U3; save x.astype(float)"),
    "one hole": ({"x": np.where(np.arange(240).reshape(60, 4) == 8, np.nan, 1.0)}, "values in 1 sample, the first is"),
    "names": ({"y": np.array(["a", "b", "c"] * 20)}, "it holds <U1; save numpy.unique(y, return_inverse=True)[1]"),
    "booleans": ({"y": np.arange(60) % 2 > 0}, "it holds bool; save y.astype(int)"),
    "classes below 0": ({"y": np.arange(60) % 3 - 1}, "y must hold classes from 0, it holds -1"),
    "a class left out": ({"y": np.arange(60) % 3 * 2}, "no sample has class 1, 3; save numpy.unique(y"),
    "identifiers": ({"y": np.arange(60) % 3 * 10**15}, "no sample has class 1, 2, 3, 4, 5; save numpy.unique(y"),
    "one class": ({"y": np.zeros(60, int)}, "at least two classes"),
    "a scarce class": ({"y": np.r_[np.zeros(57, int), np.ones(3, int)]}, "class 1 has 3"),
    "one-hot classes": ({"y": np.eye(60, 3, dtype=int)}, "the shape (samples,), it has (60, 3); save y.argmax"),
    "a column": ({"y": np.arange(60)[:, None] % 3}, "y must have the shape (samples,), it has (60, 1); save y.ravel()"),
    "another shape": (TEST | {"x_test": np.ones((3, 5))}, "samples of x_test have the shape (5,)"),
    "an unknown class": (TEST | {"y_test": np.arange(3) + 1}, "y_test has classes that y lacks: 3"),
    "too large even so": ({"x": np.eye(60, 4) * 1e300}, "x has values too large to be standardized"),
    "a test sample too large": (TEST | {"x_test": np.full((3, 2, 3), 1e41)}, "x_test has values beyond the range"),
}  # fmt: skip
READ = pytest.mark.parametrize("read", [load_npz, map_npz])


@READ
@pytest.mark.parametrize(("changes", "said"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_one_sentence_and_leaves_nothing(
    changes: dict[str, Any], said: str, read: Callable[..., Any], own_file: Callable[..., str]
) -> None:
    path = own_file(**changes)
    with pytest.raises(ValueError, match=r"data.path=") as refusal:
        read(path, standardize=True)
    assert said in str(refusal.value)
    assert os.listdir(Path(path).parent) == ["own.npz"]


def test_several_faults_are_reported_together(own_file: Callable[..., str]) -> None:
    with pytest.raises(ValueError, match=r"data.path=") as refusal:
        load_npz(own_file(x=HOLE[:50], y=np.arange(60) / 3), standardize=True)
    assert len(str(refusal.value).splitlines()) == 3


def as_file(**arrays: np.ndarray) -> bytes:
    with io.BytesIO() as file:
        np.savez(file, **arrays)
        return file.getvalue()


NPY = b"\x93NUMPY\x01\x00v\x00"
OTHERS = {
    "nothing": (b"", "is an empty file; save one with numpy.savez"),
    "an .npy file": (NPY, "is an .npy file; save one with numpy.savez"),
    "a .csv file": (b"1,2,3\n4,5,6\n", "is no .npz file; save one with numpy.savez"),
    "a part": (
        as_file(x=np.ones((60, 4)), y=np.arange(60) % 3)[:1500],
        "is damaged, or holds Python objects; save arrays",
    ),
    "another archive": (as_file(a=np.ones(3)), "lacks the array x and y"),
}


@READ
@pytest.mark.parametrize(("content", "said"), OTHERS.values(), ids=OTHERS.keys())
def test_another_kind_of_file_is_refused(content: bytes, said: str, read: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"^data.path={path}: {said}"):
        read(str(path), standardize=True)
    with pytest.raises(ValueError, match=r"^data.path must be a file that exists"):
        read(str(tmp_path / "none.npz"), standardize=True)
    assert os.listdir(tmp_path) == ["own.npz"]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_flipped_bits_are_refused_or_change_nothing(save: Callable[..., None], own_file: Callable[..., str]) -> None:
    path = Path(own_file(save))
    whole, expected = path.read_bytes(), load_npz(str(path), standardize=True)[0]
    generator = np.random.default_rng(0)
    refused = unchanged = 0
    for _ in range(300):
        rotten = bytearray(whole)
        rotten[generator.integers(len(rotten))] ^= 1 << generator.integers(8)
        path.write_bytes(rotten)
        try:
            with warnings.catch_warnings(action="ignore"):  # zipfile's, of a name that has become another's
                found = load_npz(str(path), standardize=True)[0]
        except ValueError as error:
            refused += str(error).startswith(f"data.path={path}: ")
        else:
            pairs = zip(found, expected, strict=True)
            unchanged += all(torch.equal(a, b) for pair in pairs for a, b in zip(*pair, strict=True))
    assert refused + unchanged == 300
    assert refused > 200


@READ
def test_a_shape_that_was_damaged_is_not_believed(read: Callable[..., Any], own_file: Callable[..., str]) -> None:
    path = Path(own_file(x=np.ones((60, 900, 3))))  # so many that they are not read with the shape
    path.write_bytes(path.read_bytes().replace(b"(60, 900, 3)", b"(60, 100, 3)"))
    with pytest.raises(ValueError, match=r"is damaged, or holds Python objects; .* \(x.npy fails its checksum\)"):
        read(str(path), standardize=True)


@READ
def test_seconds_since_1970_keep_their_differences(read: Callable[..., Any], own_file: Callable[..., str]) -> None:
    offsets = np.random.default_rng(0).uniform(-40, 40, (60, 4))
    far, near = (read(own_file(x=x), standardize=True)[0] for x in (1.7e9 + offsets, offsets))
    for a, b in zip(far, near, strict=True):
        assert torch.allclose(a.x[:], b.x[:], atol=1e-5)
        assert len(a.x[:].unique()) == a.x[:].numel()


@READ
def test_large_values_are_refused_only_where_float32_cannot_hold_them(
    read: Callable[..., Any], own_file: Callable[..., str]
) -> None:
    (train, *_), _ = read(own_file(x=np.random.default_rng(0).normal(size=(60, 4)) * 1e39), standardize=True)
    assert train.x[:].std().item() == pytest.approx(1, abs=0.1)
    with pytest.raises(
        ValueError, match=r"x has values beyond the range of float32, the first in sample 17; scale them"
    ):
        read(own_file(x=HUGE), standardize=False)


@READ
@pytest.mark.parametrize("dtype", ["i8", "u2", ">i4"])
def test_integers_stay_integers_unless_they_are_standardized(
    dtype: str, read: Callable[..., Any], own_file: Callable[..., str]
) -> None:
    ids = np.random.default_rng(0).integers(0, 50, (60, 12)).astype(dtype)
    (train, val, test), _ = read(own_file(x=ids, x_test=ids[:9], y_test=np.arange(9) % 3), standardize=False)
    assert {split.x.dtype for split in (train, val, test)} == {torch.int64}
    assert np.array_equal(test.x[:].numpy(), ids[:9])
    assert read(own_file(x=ids), standardize=True)[0][0].x.dtype == torch.float32


@pytest.mark.parametrize(("train", "test"), [("i8", "f8"), ("f8", "i8")])
def test_integers_and_floats_are_not_mixed(train: str, test: str, own_file: Callable[..., str]) -> None:
    x, x_test = (np.random.default_rng(0).integers(0, 9, (60, 4)).astype(dtype) for dtype in (train, test))
    path = own_file(x=x, x_test=x_test[:3], y_test=np.arange(3))
    with pytest.raises(
        ValueError, match=rf"x holds {x.dtype} and x_test {x_test.dtype}; save both as integers or both"
    ):
        load_npz(path, standardize=False)
    assert load_npz(path, standardize=True)[0][2].x.dtype == torch.float32


@READ
@pytest.mark.parametrize("dtype", ["f2", ">f8", "longdouble", "?"])
def test_every_kind_of_number_becomes_float32(
    dtype: str, read: Callable[..., Any], own_file: Callable[..., str]
) -> None:
    x = (np.arange(240).reshape(60, 4) % 7).astype(dtype)
    given = {"x_test": x[:5], "y_test": np.arange(5) % 3}
    assert read(own_file(x=x, **given), standardize=True)[0][0].x.dtype == torch.float32
    test = read(own_file(x=x, **given), standardize=False)[0][2]
    assert np.array_equal(test.x[:].numpy(), x[:5].astype("f4"))
