"""Every fault that keeps the arrays of a user's ``.npz`` file from being trained on, a sentence each."""

from collections.abc import Iterator, Mapping

import numpy as np

from ..standardize import samples_per_block

NAMES = ("x", "y", "x_test", "y_test")
GIVEN = {"val": ("x_val", "y_val"), "test": ("x_test", "y_test")}  # the arrays of parts that are not cut from x and y
INTEGERS = "must hold classes as integers 0, 1, ..."
NUMBERED = "save numpy.unique({name}, return_inverse=True)[1]"
ADVICE = {  # by the kinds of numpy's types
    **dict.fromkeys("US", NUMBERED),
    **dict.fromkeys("Mm", 'save {name}.astype("int64")'),
    "b": "save {name}.astype(int)",
}
FOR_NUMBERS = "; for numbers type task=regression"


def faults_of(arrays: Mapping[str, np.ndarray], standardize: bool, targets: str) -> Iterator[str]:
    """What keeps the arrays from being trained on, a sentence each."""
    given = [pair for pair in GIVEN.values() if not arrays.keys().isdisjoint(pair)]
    if missing := [name for pair in (("x", "y"), *given) for name in pair if name not in arrays]:
        yield f"lacks the array {' and '.join(missing)} (of {', '.join(NAMES)} it has {', '.join(arrays) or 'none'})"
        return
    for inputs, outputs in (("x", "y"), *given):
        x, y = arrays[inputs], arrays[outputs]
        yield from faults_of_inputs(inputs, x)
        yield from FAULTS_OF_TARGETS[targets](outputs, y)
        if x.ndim and y.ndim and len(x) != len(y):
            yield f"{inputs} has {len(x)} samples and {outputs} has {len(y)}; they must be as many"
    for inputs, outputs in given:
        yield from faults_between(arrays, inputs, outputs, standardize, targets)


def faults_of_inputs(name: str, x: np.ndarray) -> Iterator[str]:
    if x.dtype.kind not in "fiub":
        advice = ADVICE.get(x.dtype.kind, "save them as floats or integers").format(name=name)
        advice = f"save {name}.astype(float)" if x.dtype.kind in "US" and are_numbers(x) else advice
        yield f"{name} must hold numbers, it holds {x.dtype}; {advice}"
    elif x.ndim < 2 or 0 in x.shape:
        advice = f"; save {name}.reshape(-1, 1) if each is one number" if x.ndim == 1 else ""
        yield f"{name} must have the shape (samples, features...), it has {x.shape}{advice}"
    elif x.dtype.kind == "f":
        at_once = samples_per_block(x.shape)
        blocks = (x[start : start + at_once] for start in range(0, len(x), at_once))
        yield from faults_of_holes(name, np.concatenate([without_value(block) for block in blocks]))


def faults_between(
    arrays: Mapping[str, np.ndarray], inputs: str, outputs: str, standardize: bool, targets: str
) -> Iterator[str]:
    """What keeps samples that are given apart, such as ``x_test``, from being like those of ``x``."""
    x, y, x_given, y_given = (arrays[name] for name in ("x", "y", inputs, outputs))
    if x.shape[1:] != x_given.shape[1:]:
        yield f"samples of {inputs} have the shape {x_given.shape[1:]}, those of x {x.shape[1:]}"
    if (x.dtype.kind in "iu") != (x_given.dtype.kind in "iu") and not standardize:
        yield f"x holds {x.dtype} and {inputs} {x_given.dtype}; save both as integers or both as floats"
    if targets != "classes":
        if y.shape[1:] != y_given.shape[1:]:
            yield f"{outputs} has the shape {y_given.shape}, y {y.shape}; they must have as many columns"
    elif y.dtype.kind in "iu" and y_given.dtype.kind in "iu" and len(unknown := np.setdiff1d(y_given, y)):
        yield f"{outputs} has classes that y lacks: {', '.join(map(str, unknown[:5]))}"


def faults_of_classes(name: str, y: np.ndarray) -> Iterator[str]:
    if y.dtype.kind == "f" and np.isnan(y).any():
        yield from faults_of_holes(name, without_value(y))
    elif y.dtype.kind == "f" and np.array_equal(y, np.trunc(y)):
        yield f"{name} {INTEGERS}, it holds {y.dtype}; save {name}.astype(int)"
    elif y.dtype.kind not in "iu":
        advice = ADVICE.get(y.dtype.kind, "these are no classes").format(name=name)
        yield f"{name} {INTEGERS}, it holds {y.dtype}; {advice}{FOR_NUMBERS if y.dtype.kind == 'f' else ''}"
    elif y.ndim != 1 or not len(y):
        yield f"{name} must have the shape (samples,), it has {y.shape}{advice_on_columns(name, y)}"
    elif y.min() < 0:
        yield f"{name} must hold classes from 0, it holds {y.min()}{FOR_NUMBERS}"
    elif name == "y":
        present, counts = np.unique(y, return_counts=True)
        absent = np.setdiff1d(np.arange(min(int(present[-1]), len(present) + 4)), present)
        if len(present) < 2:
            yield "y must hold at least two classes, it holds one"
        elif len(absent):
            detail = f"no sample has class {', '.join(map(str, absent[:5]))}; {NUMBERED.format(name=name)}"
            yield f"y must use every class from 0 to {present[-1]}; {detail}{FOR_NUMBERS}"
        elif counts.min() < 5:
            scarce = f"class {present[counts.argmin()]} has {counts.min()}"
            yield f"y must have at least 5 samples of every class to split, {scarce}"


def advice_on_columns(name: str, y: np.ndarray) -> str:
    if y.ndim != 2:
        return ""
    if y.shape[1] < 2:
        return f"; save {name}.ravel()"
    are_labels = np.isin(y, (0, 1)).all()
    return f"; save {name}.argmax(axis=1), or type task={'multilabel' if are_labels else 'regression'}"


def faults_of_numbers(name: str, y: np.ndarray) -> Iterator[str]:
    if y.dtype.kind not in "fiu":
        yield f"{name} must hold numbers, it holds {y.dtype}; for classes type task=classification"
    elif y.ndim not in (1, 2) or 0 in y.shape:
        yield f"{name} must have the shape (samples,) or (samples, numbers), it has {y.shape}"
    elif not np.isfinite(y).all():
        yield from faults_of_holes(name, without_value(y))
    elif np.abs(y).max() > np.finfo("f4").max:
        yield f"{name} has values beyond the range of float32; scale them down"
    elif name == "y":
        yield from faults_of_constants(y)


def faults_of_labels(name: str, y: np.ndarray) -> Iterator[str]:
    if y.ndim != 2 or 0 in y.shape:
        advice = f"; save {name}.reshape(-1, 1)" if y.ndim == 1 and np.isin(y, (0, 1)).all() else ""
        yield f"{name} must have the shape (samples, labels), it has {y.shape}{advice}"
    elif y.dtype.kind not in "fiub" or not (fits := np.isin(y, (0, 1))).all():
        found = f"it holds {y[~fits][0]}" if y.dtype.kind in "fiub" else f"it holds {y.dtype}"
        yield f"{name} must hold 1 where a sample has the label and 0 elsewhere, {found}{FOR_NUMBERS}"
    elif name == "y":
        yield from faults_of_constants(y)


def without_value(y: np.ndarray) -> np.ndarray:
    return ~np.isfinite(y).reshape(len(y), -1).all(axis=1)


def faults_of_holes(name: str, bad: np.ndarray) -> Iterator[str]:
    if bad.any():
        samples = "1 sample" if bad.sum() == 1 else f"{bad.sum()} samples"
        yield f"{name} has missing or infinite values in {samples}, the first is sample {bad.argmax()}"


def are_numbers(x: np.ndarray) -> bool:
    try:
        x.astype(float)
    except ValueError:
        return False
    return True


def faults_of_constants(y: np.ndarray) -> Iterator[str]:
    """A target that is the same in every sample leaves nothing to learn."""
    columns = y.reshape(len(y), -1)
    constant = (columns == columns[0]).all(axis=0)
    if constant.any():
        which = "y" if y.ndim == 1 else f"column {constant.argmax()} of y"
        yield f"{which} is {columns[0, constant.argmax()]} in every sample: there is nothing to learn"


FAULTS_OF_TARGETS = {"classes": faults_of_classes, "numbers": faults_of_numbers, "labels": faults_of_labels}
