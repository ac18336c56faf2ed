"""Your own table, a ``.csv`` or ``.parquet`` file with a row for each sample."""

from collections.abc import Mapping, Sequence
from typing import Any

from trainwell.data.batches import Samples
from trainwell.data.files.columns import kinds_of
from trainwell.data.files.encoding import TableEncoder
from trainwell.data.files.table_module import Fitted, TableRows, TabularDataModule
from trainwell.data.files.table_targets import targets_of
from trainwell.data.split import SplitRule
from trainwell.errors import together


class Table(TabularDataModule):
    """Columns of numbers and of categories, and ``target``, the name of one column or of several.

    By ``targets`` these are "classes", one column whose values are the names of the classes; "numbers", one or several;
    or "labels", each true or false. What is measured, such as means and medians, is measured on the train rows alone,
    and saved with a run. ``categories`` become columns of 0 and 1 ("onehot") or are embedded ("embed"). Columns that
    look like dates, free text or identifiers are refused: name them in ``drop``, ``as_numbers`` or ``as_categories``.
    ``split`` and ``fold`` are those of ``SplitRule``; a column that splits the rows is no input.
    """

    def __init__(
        self,
        *,
        path: str,
        target: str | Sequence[str],
        targets: str,
        drop: Sequence[str],
        as_numbers: Sequence[str],
        as_categories: Sequence[str],
        categories: str,
        split: Mapping[str, Any],
        fold: int | None,
        folds: int,
        batch_size: int,
        seed: int,
        label_noise: float,
    ) -> None:
        super().__init__(batch_size=batch_size, seed=seed, label_noise=label_noise)
        self.path, self.targets = path, targets
        self.target = [target] if isinstance(target, str | int) else list(target)
        self.target, self.drop, self.as_numbers, self.as_categories = (
            list(map(str, names)) for names in (self.target, drop, as_numbers, as_categories)
        )
        self.one_hot = {"onehot": True, "embed": False}[categories]
        self.rule = SplitRule(**split, fold=fold, folds=folds)

    def load(self) -> None:
        named = {"target": self.target, "drop": self.drop}
        named |= {"as_numbers": self.as_numbers, "as_categories": self.as_categories}
        table = TableRows.read(self.path, self.rule, {f"data.{key}": names for key, names in named.items()})
        inputs = table.rows.drop(columns={*self.target, *self.drop, *self.rule.column_keys()})
        before = self.fitted  # by a run that has ended
        kinds, targets = together(
            lambda: kinds_of(inputs, self.as_numbers, self.as_categories),
            lambda: targets_of(table.rows, self.target, self.targets, before and before.names),
        )
        train, val, test = table.split(targets, self.rule)
        encoder = before.encoder if before else TableEncoder.fit(inputs[train], kinds, self.one_hot)
        self.fitted = Fitted(self.target, targets.names, encoder)
        self.train, self.val, self.test = (
            Samples.from_numpy(encoder(inputs[part]), targets.y[part]) for part in (train, val, test)
        )
        self.target_names = targets.names
        if self.targets == "classes":
            self.num_classes = len(targets.names)
