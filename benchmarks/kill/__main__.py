"""Interrupt training at random moments, resume it, and compare its end with that of an undisturbed run, bit for bit:

    python -m benchmarks.kill [--kills 100] [--folder build/kill] [CONFIGURATION ...]

The configurations, of which names choose some, are in ``configurations.yaml``; a third of the resumed runs is
interrupted again. Compared are weights, optimizer and all other state in the last checkpoint, the best weights,
``metrics.csv`` without throughput, and ``summary.json`` without times. Exit status 1: something differs.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from pandas import DataFrame
from tqdm import tqdm

MOST_SHOWN = 10  # differences of a run
FEW = 5  # runs of a configuration; the moment of a single one may never come


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kill", description=__doc__.partition(":")[0])
    parser.add_argument("--kills", type=int, default=100, help="runs that are interrupted, over all configurations")
    parser.add_argument("--folder", type=Path, default=Path("build/kill"))
    parser.add_argument("configurations", nargs="*")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: a process with threads cannot be forked safely
    from .trials import Configuration, configurations

    chosen = list(configurations(arguments.folder, arguments.configurations))
    turns = [divmod(turn, len(chosen)) for turn in range(arguments.kills)]
    numbers, configured = [number for number, _ in turns], [chosen[place] for _, place in turns]
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), get_context("fork")) as pool:
        list(pool.map(Configuration.train_undisturbed, chosen[: arguments.kills]))
        trials = pool.map(Configuration.trial, configured, numbers)
        results = DataFrame(tqdm(trials, total=len(turns), unit="run"))
    different = list(differences(results, chosen[0].folder.parent))
    print("\n".join([table(results).to_string(), *different]))
    sys.exit(bool(different))


def table(results: DataFrame) -> DataFrame:
    """For each configuration and in total: runs, interruptions, and runs that ended like the undisturbed one."""
    counted = results.assign(runs=1, identical=results["differences"].map(len) == 0)
    counts = counted.groupby("configuration", sort=False)[["runs", "interruptions", "identical"]].sum()
    counts.loc["total"] = counts.sum()
    return counts


def differences(results: DataFrame, folder: Path) -> Iterator[str]:
    for name, trials in results.groupby("configuration", sort=False):
        if len(trials) >= FEW and not trials["interruptions"].any():
            yield f"\n{name}: nothing was interrupted"
        for trial in trials[trials["differences"].map(len) > 0].itertuples():
            yield f"\n{name}, run {trial.number}: {len(trial.differences)} differences; see {folder}"
            yield from (f"  {difference}" for difference in trial.differences[:MOST_SHOWN])


if __name__ == "__main__":
    main()
