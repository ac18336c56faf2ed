"""The rows of tables and how they are split, and a LightningDataModule of them.

What was measured on the train rows is saved with a run and used again.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..batches import Samples
from ..in_memory import InMemoryDataModule
from ..split import PARTS, SplitRule, split_samples
from .columns import as_categories, lacks, read_chunks, read_table
from .encoding import CategoryEmbedding, TableEncoder
from .table_targets import Targets

if TYPE_CHECKING:
    from pandas import DataFrame

log = logging.getLogger(__name__)


class TableRows(NamedTuple):
    """Rows of the main file and after them those of ``data.split.val_path`` and ``test_path``."""

    rows: "DataFrame"
    given: np.ndarray  # (rows,): "val" or "test" for those of a file of their own, else ""

    @classmethod
    def read(cls, path: str, rule: SplitRule, columns: Mapping[str, Sequence[str]]) -> "TableRows":
        """Read the files; ``columns`` are the names that each key of the configuration holds.

        Raises: ValueError: a file is no table, or a column that is named does not exist.
        """
        import pandas

        frames = [read_as("data.path", path)]
        if faults := [*faults_of_names(path, list(frames[0].columns), rule, columns)]:
            raise ValueError("\n".join(faults))
        given = [""] * len(frames[0])
        for part, file in (("val", rule.val_path), ("test", rule.test_path)):
            if file is not None:
                frames.append(read_as(f"data.split.{part}_path", file, list(frames[0].columns)))
                frames[-1].index = [f"{row} of {file}" for row in frames[-1].index]
                given += [part] * len(frames[-1])
        return cls(pandas.concat(frames), np.array(given))

    def split(self, targets: Targets, rule: SplitRule) -> list[np.ndarray]:
        """Masks of the train, validation and test rows; the shares of all classes are alike.

        Raises: ValueError: the rows cannot be split by the rule.
        """
        own = self.given == ""
        columns = {name: self.rows[name].to_numpy()[own] for name in rule.column_keys()}
        given = sorted(set(self.given) - {""})
        if rule.group is not None:
            groups = as_categories(self.rows[rule.group])
            if both := set(groups[own]) & set(groups[~own]):
                raise ValueError(f"data.split.group={rule.group}: {min(both)} is in two files, and so in two parts")
        masks = [self.given == part for part in PARTS]
        chosen = split_samples(targets.classes[own], rule, columns, names=targets.names, given=given)
        for mask, of_own in zip(masks, chosen, strict=True):
            mask[own] = of_own
        return masks


def read_as(key: str, path: str, columns: Sequence[str] | None = None) -> "DataFrame":
    """Raises: ValueError: as ``read_table``, with the key that names the file."""
    try:
        return read_table(path, columns)
    except ValueError as error:
        raise ValueError(f"{key}={error}") from error


def faults_of_names(
    path: str, names: Sequence[str], rule: SplitRule, columns: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    for key, wanted in {**columns, **{key: [name] for name, key in rule.column_keys().items()}}.items():
        if absent := [name for name in wanted if name not in names]:
            yield f"{key}: {path} {lacks(absent, names)}"
    if both := [name for name in columns["data.target"] if name in columns["data.drop"]]:
        yield f"data.drop must not hold the target {both[0]}"


class Fitted(NamedTuple):
    """What a run keeps of its table: the target columns, the names of classes, numbers or labels, and the encoder."""

    target: list[str]
    names: list[str]
    encoder: TableEncoder


class TabularDataModule(InMemoryDataModule):
    """Derive from it and define ``load``, which also sets ``fitted``, unless a run has restored that before.

    With ``setup("predict")`` a run that has ended needs no file but the one to predict on.
    """

    fitted: Fitted | None = None

    def setup(self, stage: str | None = None) -> None:
        if stage == "predict" and self.fitted is not None and not self.loaded:
            self.train = self.val = self.test = self.blank_rows(self.fitted)
            if self.targets == "classes":
                self.num_classes = len(self.fitted.names)
            self.target_names = self.fitted.names
            self.loaded = True
        super().setup(stage)

    def blank_rows(self, fitted: Fitted) -> Samples:
        """Rows without a value, of every class, in place of the rows that the run was trained on."""
        import pandas

        count = max(2, len(fitted.names))
        x = fitted.encoder(pandas.DataFrame(None, index=range(count), columns=fitted.encoder.columns, dtype=object))
        if self.targets == "classes":
            return Samples.from_numpy(x, np.arange(count))
        y = np.tile(np.arange(count)[:, None] % 2, len(fitted.names))
        return Samples.from_numpy(x, y.astype(np.float32) if self.targets == "numbers" else y)

    def state_dict(self) -> dict[str, Any]:
        """Plain data, which Lightning puts into every checkpoint."""
        if self.fitted is None:
            return {}
        target, names, encoder = self.fitted
        return {"target": target, "names": names, "encoder": encoder.state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Raises: ValueError: the table is not the one that was trained on."""
        if self.loaded and state_dict != self.state_dict():
            raise ValueError("data.path holds other rows than when the run began; a run is resumed with the same table")
        encoder = TableEncoder.from_state(state_dict["encoder"])
        self.fitted = Fitted(state_dict["target"], state_dict["names"], encoder)

    def input_layer(self) -> nn.Module:
        """What must come before a network, (B, F) -> (B, F'): embeddings of the categories, if they are not one-hot."""
        assert self.fitted is not None, "setup comes before input_layer"
        encoder = self.fitted.encoder
        if encoder.one_hot or not encoder.categories:
            return nn.Identity()
        sizes = [len(column.values) for column in encoder.categories]
        return CategoryEmbedding(self.train.x.shape[1] - len(sizes), sizes)

    def new_samples(self, path: Path) -> Iterator[Tensor]:
        """The columns are found by their names; others, such as a target, are left out.

        Raises: ValueError: a column is missing, or a cell that must be a number is none.
        """
        assert self.fitted is not None, "setup comes before new_samples"
        encoder, reported = self.fitted.encoder, set[str]()
        for rows in read_chunks(path, encoder.columns):
            for name, value in encoder.unseen(rows):
                if name not in reported:
                    log.warning(f"{path}: column {name} has values that no train row has, such as {value}")
                    reported.add(name)
            try:
                yield torch.from_numpy(encoder(rows))
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from error
