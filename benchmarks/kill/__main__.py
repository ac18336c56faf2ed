"""Interrupt training at random moments, resume it, and compare its end with that of an undisturbed run, bit for bit:

    python -m benchmarks.kill [--kills 100] [--folder build/kill] [CONFIGURATION ...]

The configurations, of which names choose some, are in ``configurations.yaml``; a third of the resumed runs is
interrupted again. Compared are weights, optimizer and all other state in the last checkpoint, the best weights,
``metrics.csv`` without throughput, and ``summary.json`` without times. Exit status 1: something differs.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..project import kept, write

MOST_SHOWN = 10  # differences of a run
FEW = 5  # runs of a configuration; the moment of a single one may never come
Results = dict[str, dict[str, dict[str, Any]]]  # of each configuration, by the number of the trial


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kill", description=__doc__.partition(":")[0])
    parser.add_argument("--kills", type=int, default=100, help="runs that are interrupted, over all configurations")
    parser.add_argument("--folder", type=Path, default=Path("build/kill"))
    parser.add_argument("configurations", nargs="*")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: a process with threads cannot be forked safely
    from .trials import configurations

    chosen = list(configurations(arguments.folder, arguments.configurations))
    path = chosen[0].folder.parent / "results.json"
    results: Results = kept(path, dict)
    turns = [(chosen[i % len(chosen)], str(i // len(chosen))) for i in range(arguments.kills)]
    missing = [(each, number) for each, number in turns if number not in results.setdefault(each.name, {})]
    workers = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(workers, get_context("fork")) as pool:
        list(pool.map(type(chosen[0]).train_undisturbed, {each.name: each for each, _ in missing}.values()))
        started = {pool.submit(each.trial, number): (each.name, number) for each, number in missing}
        for ended in tqdm(as_completed(started), total=len(started), unit="run"):
            name, number = started[ended]
            results[name][number] = ended.result()
            write(path, json.dumps(results, indent=1))
    shown = {each.name: results[each.name] for each, _ in turns}
    different = list(differences(shown, path.parent))
    print("\n".join([*table(shown), *different]))
    sys.exit(bool(different))


def table(results: Results) -> Iterator[str]:
    """For each configuration and in total: runs, interruptions, and runs that ended like the undisturbed one."""
    width = max(map(len, results))
    yield f"{'':{width}}  {'runs':>5}  interruptions  identical"
    every = {f"{name} {number}": trial for name, trials in results.items() for number, trial in trials.items()}
    for name, trials in {**results, "total": every}.items():
        interruptions = sum(trial["interruptions"] for trial in trials.values())
        identical = sum(not trial["differences"] for trial in trials.values())
        yield f"{name:{width}}  {len(trials):5}  {interruptions:13}  {identical:9}"


def differences(results: Results, folder: Path) -> Iterator[str]:
    for name, trials in results.items():
        if len(trials) >= FEW and not any(trial["interruptions"] for trial in trials.values()):
            yield f"\n{name}: nothing was interrupted"
        for number, trial in trials.items():
            if found := trial["differences"]:
                yield f"\n{name}, run {number}: {len(found)} differences; see {folder}"
                yield from (f"  {difference}" for difference in found[:MOST_SHOWN])


if __name__ == "__main__":
    main()
