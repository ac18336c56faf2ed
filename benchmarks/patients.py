"""The patients of the doctor's benchmark: configurations that train well, and the same with one thing wrong.

A patient is a base, which is healthy, and an ailment: overrides after which it is sick. Taking the ailment away again
cures it, so that the base is its healthy twin. Half of the patients of each code, by a hash of their names, are *held
out*: thresholds were chosen without looking at what the doctor says of them, but for what ``docs/doctor.md`` tells.
Those *written last* came when the doctor was finished; it saw them once.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeVar

from sick_parts import STACK_ACTIVATIONS, STACK_DATA, STACK_INITIALISATIONS, Stack

Item = TypeVar("Item", bound=Hashable)
PARTS = CHOSEN_BY, HELD_OUT, LAST = "chosen by", "held out", "written last"
FILES = "build/doctor/data"  # below the template, where the benchmark runs

MNIST = "dropout=none network.width=64 trainer.max_epochs=12"
ARRAYS = f"{MNIST} data=arrays data.path={FILES}"
OWN = "network=own trainer.max_epochs=12 optimizer.lr=0.003 network.factory=sick_parts"
BASES = {
    "mlp": f"{MNIST} residual=shallow",
    "mlp, sgd": f"{MNIST} residual=shallow optimizer=sgd optimizer.lr=0.05 scheduler=constant",
    "mlp, much data": f"{ARRAYS}/mnist1d.npz residual=shallow",
    "mlp, deep": f"{MNIST} residual=medium",
    "mlp, deep, sgd": f"{MNIST} residual=medium optimizer=sgd optimizer.lr=0.1 scheduler=constant",
    "mlp, tanh": f"{MNIST} residual=shallow activation=tanh initialisation=xavier",
    "mlp, plain": f"{MNIST} residual=none residual.depth=3 initialisation=he",
    "mlp, dropout": f"{MNIST} residual=shallow dropout=standard dropout.rate=0.2",
    "mlp, few rows": f"{ARRAYS}/mnist1d_some.npz residual=shallow dropout=standard dropout.rate=0.3 "
    "trainer.max_epochs=60 callbacks.early_stopping.patience=59",
    "digits": f"{MNIST} data=digits residual=shallow trainer.max_epochs=20",
    "digits, file": f"{ARRAYS}/digits.npz residual=shallow trainer.max_epochs=20",
    "digits, wrong labels": f"{MNIST} data=digits residual=shallow data.label_noise=0.4 weight_decay=l2 "
    "weight_decay.strength=0.01 scheduler=constant trainer.max_epochs=30 callbacks.early_stopping.patience=29",
    "cnn": "network=cnn network.width=16 residual.depth=3 dropout=none trainer.max_epochs=12 scheduler=constant",
    "cnn, sgd": "network=cnn network.width=16 residual=medium dropout=none trainer.max_epochs=12 "
    "optimizer=sgd optimizer.lr=0.05 scheduler=constant",
    "cnn, digits": "network=cnn network.width=16 residual.depth=3 dropout=none data=digits trainer.max_epochs=12 "
    f"data=arrays data.path={FILES}/digits.npz",
    "transformer": "network=transformer network.stride=3 residual.depth=4 normalisation=layer dropout=none "
    "trainer.max_epochs=12",
    "circles": f"{ARRAYS}/circles.npz network.width=16 residual=shallow trainer.max_epochs=30",
    "blobs": f"{ARRAYS}/blobs.npz network.width=32 residual=shallow trainer.max_epochs=30",
    "blobs, few rows": f"{ARRAYS}/blobs_some.npz network.width=32 residual=shallow dropout=standard dropout.rate=0.5 "
    "weight_decay=l2 weight_decay.strength=0.03 trainer.max_epochs=60 callbacks.early_stopping.patience=59",
    "own": f"{OWN}.relu",
    "own, tanh": f"{OWN}.tanh",
    "own, digits": f"{OWN}.relu data=digits trainer.max_epochs=20",
    "own, circles": f"{OWN}.relu data=arrays data.path={FILES}/circles.npz trainer.max_epochs=30",
    "own, blobs": f"{OWN}.tanh data=arrays data.path={FILES}/blobs.npz trainer.max_epochs=30",
}

# Sound networks beside the bases: every technique, and settings that look odd at first and train well.
HEALTHY = {
    "mlp": (
        "activation=gelu optimizer.lr=0.001",
        "activation=selu initialisation=lecun",
        "activation=leaky_relu weight_decay=decoupled data.batch_size=256 optimizer.lr=0.005",
        "scheduler=one_cycle normalisation=batch",
        "activation=silu weight_decay=l2 weight_decay.strength=0.0005",
        "data.label_noise=0.2 dropout=standard dropout.rate=0.3",
        "optimizer=sgd optimizer.lr=0.1 trainer.gradient_clip_val=null",
        "optimizer=sgd optimizer.momentum=0.5 optimizer.lr=0.2 scheduler=plateau",
    ),
    "mlp, deep": ("residual=deep network.width=32 normalisation=layer", "dropout=stochastic_depth activation=elu"),
    "mlp, plain": ("activation=tanh initialisation=xavier", "residual.depth=6 initialisation=orthogonal"),
    "digits": ("optimizer=sgd optimizer.lr=0.03", "network.width=256 dropout=standard"),
    "cnn": ("normalisation=batch activation=silu",),
    "cnn, digits": ("network.width=8 activation=mish optimizer=sgd optimizer.lr=0.05",),
    "transformer": ("normalisation=none residual.depth=2 optimizer.lr=0.001",),
    "circles": ("activation=tanh", "optimizer=sgd optimizer.lr=0.1"),
    "blobs": ("network=cnn network.width=16", "data.batch_size=16"),
}

SMALL = "data.batch_size=16 scheduler=constant"  # else there would be no steps to warm up in

# code -> base -> ailments
SICK: dict[str, dict[str, Sequence[str]]] = {
    "vanishing_gradient": {
        "mlp, deep": (
            "activation=sigmoid residual=none initialisation=torch_default",
            "residual=none initialisation=normal",
        ),
        "digits": ("residual=none residual.depth=16 initialisation=torch_default",),
        "cnn": ("residual=none activation=sigmoid initialisation=torch_default",),
        "transformer": ("residual=none activation=sigmoid normalisation=none initialisation=torch_default",),
        "circles": ("activation=sigmoid residual=none initialisation=torch_default",),
    },
    "exploding_gradient": {
        "mlp, deep, sgd": (
            "initialisation=he initialisation.residual_aware=false trainer.gradient_clip_val=null",
            "activation=gelu initialisation=normal initialisation.std=0.5 trainer.gradient_clip_val=null",
        ),
        "cnn, sgd": (
            "residual=deep initialisation=he initialisation.residual_aware=false trainer.gradient_clip_val=null",
        ),
        "own, digits": ("network.factory=sick_parts.growing",),
    },
    "dead_units": {
        "mlp, plain": ("residual.depth=4 optimizer=adam optimizer.lr=0.03 scheduler.warmup_steps=1",),
        "own": ("network.factory=sick_parts.never_firing", "network.factory=sick_parts.hardly_firing"),
        "own, digits": ("network.factory=sick_parts.never_firing",),
        "own, circles": ("network.factory=sick_parts.hardly_firing",),
    },
    "saturated_units": {
        "mlp, tanh": (
            "initialisation=normal initialisation.std=1",
            "activation=sigmoid initialisation=normal initialisation.std=1",
        ),
        "own, tanh": ("network.factory=sick_parts.flat_tanh", "network.factory=sick_parts.flat_sigmoid"),
        "own, blobs": ("network.factory=sick_parts.flat_tanh",),
    },
    "learning_rate_too_high": {
        "mlp": ("optimizer.lr=0.3 scheduler=constant",),
        "mlp, sgd": ("optimizer.lr=5",),
        "digits": ("optimizer=adam optimizer.lr=1",),
        "cnn": ("optimizer.lr=0.3",),
        "transformer": ("optimizer.lr=0.2 scheduler=constant",),
        "circles": ("optimizer.lr=1 scheduler=constant",),
    },
    "learning_rate_too_low": {
        "mlp": ("optimizer.lr=1e-6",),
        "mlp, sgd": ("optimizer.lr=1e-5",),
        "digits": ("optimizer.lr=3e-6 scheduler=constant",),
        "transformer": ("optimizer.lr=1e-6",),
        "blobs": ("optimizer.lr=1e-6",),
    },
    "overfitting": {
        "digits, wrong labels": (
            "weight_decay=none",
            "weight_decay=none network.width=256",
        ),
        "mlp, few rows": ("dropout=none network.width=256 optimizer.lr=0.005",),
        "blobs, few rows": ("dropout=none weight_decay=none network.width=256",),
    },
    "excess_weight_decay": {
        "mlp": (
            "weight_decay=l2 weight_decay.strength=0.3",
            "weight_decay=decoupled weight_decay.strength=50",
        ),
        "digits": ("weight_decay=l2 weight_decay.strength=1",),
        "cnn": ("weight_decay=l2 weight_decay.strength=0.3",),
        "circles": ("weight_decay=l2 weight_decay.strength=1",),
    },
    "excess_dropout": {
        "mlp, plain": ("dropout=standard dropout.rate=0.95",),
        "mlp, dropout": ("dropout.rate=0.97 initialisation=he",),
        "digits": ("residual=none dropout=standard dropout.rate=0.97 initialisation=he",),
        "cnn": ("dropout=standard dropout.rate=0.97",),
        "circles": ("dropout=standard dropout.rate=0.95",),
    },
    "unlearnable_labels": {
        "mlp, much data": (f"data.path={FILES}/mnist1d_shuffled.npz", f"data.path={FILES}/mnist1d_noise.npz"),
        "digits, file": (f"data.path={FILES}/digits_shuffled.npz",),
        "blobs": (f"data.path={FILES}/blobs_shuffled.npz",),
        "mlp": ("data.label_noise=0.9",),
    },
    "unscaled_input": {
        "mlp, much data": (
            f"data.path={FILES}/mnist1d_times_1000.npz data.standardise=false",
            f"data.path={FILES}/mnist1d_plus_100.npz data.standardise=false",
            f"data.path={FILES}/mnist1d_one_column.npz data.standardise=false",
        ),
        "digits, file": (f"data.path={FILES}/digits_thousandth.npz data.standardise=false",),
        "circles": (
            f"data.path={FILES}/circles_times_100.npz data.standardise=false",
            f"data.path={FILES}/circles_thousandth.npz data.standardise=false",
        ),
        "own, blobs": (f"data.path={FILES}/blobs_times_100.npz data.standardise=false",),
    },
    "constant_input": {
        "mlp, much data": (f"data.path={FILES}/mnist1d_stuck.npz", f"data.path={FILES}/mnist1d_all_stuck.npz"),
        "digits, file": (f"data.path={FILES}/digits_stuck.npz",),
        "cnn, digits": (f"data.path={FILES}/digits_stuck.npz",),
        "blobs": (f"data.path={FILES}/blobs_stuck.npz",),
    },
    "bad_initial_loss": {
        "own": ("network.factory=sick_parts.loud_head", "network.factory=sick_parts.sure_head"),
        "own, circles": ("network.factory=sick_parts.loud_head",),
        "own, blobs": ("network.factory=sick_parts.loud_head",),
    },
    "validation_leak": {
        "mlp, much data": (f"data.path={FILES}/mnist1d_copied.npz",),
        "cnn, digits": (f"data.path={FILES}/digits_copied.npz",),
        "circles": (f"data.path={FILES}/circles_copied.npz",),
        "blobs": (f"data.path={FILES}/blobs_copied.npz",),
    },
    "validation_too_small": {
        "mlp, much data": (f"data.path={FILES}/mnist1d_few.npz {SMALL}",),
        "cnn, digits": (f"data.path={FILES}/digits_few.npz {SMALL}",),
        "circles": (f"data.path={FILES}/circles_few.npz {SMALL}",),
        "blobs": (f"data.path={FILES}/blobs_few.npz {SMALL}",),
    },
    "oscillating_loss": {
        "mlp, sgd": ("optimizer.lr=0.3 optimizer.momentum=0.99", "optimizer.lr=1"),
        "digits": ("optimizer=sgd optimizer.lr=0.5 optimizer.momentum=0.98 scheduler=constant",),
        "circles": ("optimizer=sgd optimizer.lr=2 optimizer.momentum=0.98 scheduler=constant",),
        "mlp": ("data.batch_size=4 optimizer.lr=0.02 scheduler=constant",),
    },
    "non_finite": {
        "mlp, sgd": ("optimizer.lr=1e9 trainer.gradient_clip_val=null",),
        "own": ("network.factory=sick_parts.of_negative_numbers",),
        "own, circles": ("network.factory=sick_parts.of_negative_numbers",),
        "mlp, much data": (f"data.path={FILES}/mnist1d_huge.npz data.standardise=false",),
    },
    "symmetric_units": {
        "mlp, plain": ("initialisation=normal initialisation.std=0",),
        "own": ("network.factory=sick_parts.constant",),
        "own, digits": ("network.factory=sick_parts.zero",),
        "cnn": ("residual.connection=plain initialisation=normal initialisation.std=0",),
    },
}

# Written when the last rule had been changed, and taken out again only where a whole training was not sick.
SICK_LAST: dict[str, dict[str, Sequence[str]]] = {
    "vanishing_gradient": {
        "mlp, tanh": ("residual=none residual.depth=12 initialisation=normal",),
        "blobs": ("activation=sigmoid residual=none residual.depth=10 initialisation=torch_default",),
    },
    "exploding_gradient": {
        "mlp, deep, sgd": (
            "residual=deep initialisation=normal initialisation.std=0.3 trainer.gradient_clip_val=null",
        ),
        "own": ("network.factory=sick_parts.growing",),
    },
    "dead_units": {
        "own, blobs": ("network.factory=sick_parts.never_firing",),
        "own, digits": ("network.factory=sick_parts.hardly_firing",),
    },
    "saturated_units": {
        "own, digits": ("network.factory=sick_parts.flat_tanh",),
        "digits": ("activation=tanh initialisation=normal initialisation.std=2",),
    },
    "learning_rate_too_high": {
        "mlp, dropout": ("optimizer.lr=0.5 scheduler=constant",),
        "blobs": ("optimizer=sgd optimizer.lr=20 scheduler=constant",),
    },
    "learning_rate_too_low": {
        "cnn": ("optimizer.lr=1e-6",),
        "circles": ("optimizer=sgd optimizer.lr=1e-5 scheduler=constant",),
    },
    "overfitting": {
        "mlp, few rows": ("dropout=none network.width=128 residual=medium",),
        "digits, wrong labels": ("weight_decay=none residual=medium optimizer=sgd optimizer.lr=0.05",),
    },
    "excess_weight_decay": {
        "blobs": ("weight_decay=l2 weight_decay.strength=1",),
        "mlp, deep": ("weight_decay=l2 weight_decay.strength=0.5",),
    },
    "excess_dropout": {
        "mlp, deep": ("residual=none initialisation=he dropout=standard dropout.rate=0.9",),
        "mlp, much data": ("dropout=standard dropout.rate=0.96",),
    },
    "unlearnable_labels": {
        "digits": ("data.label_noise=0.92",),
        "cnn, digits": (f"data.path={FILES}/digits_shuffled.npz",),
    },
    "unscaled_input": {
        "mlp, much data": (f"data.path={FILES}/mnist1d_times_1000.npz data.standardise=false activation=tanh",),
        "own, circles": (f"data.path={FILES}/circles_times_100.npz data.standardise=false",),
    },
    "constant_input": {
        "own, blobs": (f"data.path={FILES}/blobs_stuck.npz",),
        "mlp, much data": (f"data.path={FILES}/mnist1d_all_stuck.npz network=cnn network.width=16",),
    },
    "bad_initial_loss": {
        "own, digits": ("network.factory=sick_parts.loud_head",),
        "own, blobs": ("network.factory=sick_parts.sure_head",),
    },
    "validation_leak": {
        "own, circles": (f"data.path={FILES}/circles_copied.npz",),
        "own, blobs": (f"data.path={FILES}/blobs_copied.npz",),
    },
    "validation_too_small": {
        "own, circles": (f"data.path={FILES}/circles_few.npz {SMALL}",),
        "own, blobs": (f"data.path={FILES}/blobs_few.npz {SMALL}",),
    },
    "oscillating_loss": {
        "mlp, deep, sgd": ("optimizer.lr=0.2 optimizer.momentum=0.99",),
        "blobs": ("optimizer=sgd optimizer.lr=2 optimizer.momentum=0.98 scheduler=constant",),
    },
    "non_finite": {
        "own, blobs": ("network.factory=sick_parts.of_negative_numbers",),
        "digits": ("optimizer=sgd optimizer.lr=1e9 trainer.gradient_clip_val=null scheduler=constant",),
    },
    "symmetric_units": {
        "blobs": ("residual.connection=plain initialisation=normal initialisation.std=0",),
        "own, circles": ("network.factory=sick_parts.constant",),
    },
}
HEALTHY_LAST = {
    "mlp": ("activation=mish optimizer=adam", "normalisation=rms dropout=standard dropout.rate=0.1"),
    "mlp, plain": ("residual.depth=5 normalisation=batch",),
    "mlp, much data": ("network.width=128 activation=elu data.batch_size=32",),
    "digits": ("activation=selu initialisation=lecun", "weight_decay=decoupled optimizer.lr=0.005"),
    "cnn": ("network.kernel=3 activation=leaky_relu",),
    "cnn, digits": ("normalisation=batch",),
    "transformer": ("activation=gelu optimizer.lr=0.001",),
    "circles": ("activation=gelu data.batch_size=32",),
    "blobs": ("activation=silu optimizer=sgd optimizer.lr=0.1",),
}

# What may come first as well, and why.
NEIGHBOURS = {
    "vanishing_gradient": {
        "dead_units": "in a deep plain network the signal fades as well, and units become the same on all rows",
        "saturated_units": "of sigmoids, that is how it comes about",
    },
    "exploding_gradient": {
        "non_finite": "where it ends within a few steps",
        "bad_initial_loss": "a signal that grows makes a start that is sure of wrong classes",
        "learning_rate_too_high": "no step is short enough",
    },
    "dead_units": {
        "learning_rate_too_high": "steps that are too long kill units",
        "vanishing_gradient": "nothing passes a layer of dead units",
    },
    "saturated_units": {
        "vanishing_gradient": "nothing passes where it is flat",
        "exploding_gradient": "the weights that saturate also make the gradient long",
        "bad_initial_loss": "units at their limits are sure of wrong classes",
    },
    "learning_rate_too_high": {
        "oscillating_loss": "what a rate somewhat too high does",
        "non_finite": "what a rate far too high does",
        "dead_units": "what it does to ReLU",
        "exploding_gradient": "what it does to the weights and so to the gradient",
    },
    "oscillating_loss": {"learning_rate_too_high": "its usual cause"},
    "overfitting": {"unlearnable_labels": "if so many labels are wrong"},
    "unlearnable_labels": {"overfitting": "what is left to learn is learnt by heart"},
    "excess_weight_decay": {
        "vanishing_gradient": "weights that are pulled to nothing pass nothing",
        "dead_units": "and then every row looks the same",
    },
    "bad_initial_loss": {
        "exploding_gradient": "the weights that are sure of wrong classes also make the gradient long"
    },
    "non_finite": {
        "learning_rate_too_high": "a usual cause",
        "exploding_gradient": "a usual cause",
        "unscaled_input": "a usual cause",
    },
    "symmetric_units": {
        "dead_units": "where the weights are all zero, every row looks the same",
        "vanishing_gradient": "where they are all zero, nothing passes",
    },
}

# What does not show in the accuracy or the loss of one's own validation rows, and is wrong all the same.
UNSEEN = {
    "validation_leak": "the accuracy looks better than it is on new rows: that is what is wrong",
    "validation_too_small": "the accuracy may look like any: that is what is wrong",
}


@dataclass(frozen=True)
class Patient:
    """A configuration, what is wrong with it (None: nothing), and that of its healthy twin."""

    base: str
    ailment: str
    code: str | None

    @property
    def name(self) -> str:
        return f"{self.base} | {self.ailment.replace(FILES + '/', '')}" if self.ailment else self.base

    @property
    def overrides(self) -> tuple[str, ...]:
        return merged(BASES[self.base], self.ailment)

    @property
    def twin(self) -> "Patient":
        return Patient(self.base, "", None)

    @property
    def neighbours(self) -> set[str]:
        return set(NEIGHBOURS.get(str(self.code), ()))

    @property
    def repairable(self) -> bool:
        """Whether there are overrides against it: other data or another network of one's own are none."""
        changed = [word.partition("=")[0] for word in self.ailment.split()]
        of_data = "data.path" in changed and "data.standardise" not in changed
        return self.code is not None and not of_data and "network.factory" not in changed


def merged(*texts: str) -> tuple[str, ...]:
    """Overrides, of which later ones replace those of the same key; other words of a group forget its old keys."""
    found: dict[str, str] = {}
    for word in " ".join(texts).split():
        key = word.partition("=")[0]
        if "." not in key:
            found = {old: text for old, text in found.items() if not (old.startswith(f"{key}.") and key != "network")}
        found[key] = word
    return tuple(found.values())


def healthy_patients() -> list[Patient]:
    return [Patient(base, "", None) for base in BASES] + listed({None: HEALTHY})


def sick_patients() -> list[Patient]:
    return listed(SICK)


def last_patients() -> list[Patient]:
    return listed(SICK_LAST) + listed({None: HEALTHY_LAST})


def listed(of_codes: Mapping[Any, Mapping[str, Sequence[str]]]) -> list[Patient]:
    return [
        Patient(base, changes, code)
        for code, of_base in of_codes.items()
        for base, several in of_base.items()
        for changes in several
    ]


def stacks() -> list[Stack]:
    """AUTOTRAINER's small models, all combinations, at three depths from five to eighteen."""
    return [
        Stack(depth, activation, initialisation, data, factor)
        for depth in (5, 11, 18)
        for activation in STACK_ACTIVATIONS
        for initialisation in STACK_INITIALISATIONS
        for data in STACK_DATA
        for factor in (1, 100)
    ]


def held_out(items: Iterable[Item], name: str = "name") -> set[Item]:
    """Every second one in the order of a hash of their names: a fixed half, chosen by nobody."""
    return set(sorted(items, key=lambda item: sha256(str(getattr(item, name)).encode()).hexdigest())[1::2])


def parts_of_patients() -> dict[Patient, str]:
    """Of each whether thresholds were chosen by it, or it was held out, or written last: half and half of each code."""
    everyone = healthy_patients() + sick_patients()
    apart = set().union(*(held_out([p for p in everyone if p.code == code]) for code in {p.code for p in everyone}))
    parts = {patient: HELD_OUT if patient in apart else CHOSEN_BY for patient in everyone}
    return parts | dict.fromkeys(last_patients(), LAST)
