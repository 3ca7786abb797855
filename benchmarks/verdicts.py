"""How often a page of equal methods says "clear", and how often it does where one is better.

``python -m benchmarks.verdicts [PAGES]`` prints two tables; 2,000 pages take a quarter of an hour on one core. Outcomes are
those of matching mechanisms: right or wrong for each of 103 treatments, of which those of one compound are alike
(beta-binomial, by the intraclass correlation), independent between methods, profiles and measures. Pages are judged as a
report judges them, by `phenorep.report.evidence`.
"""

import sys
from itertools import product

import numpy as np

from phenorep import statistics
from phenorep.report import evidence
from phenorep.report.evidence import Evidence

# Treatments of each of the 38 compounds of BBBC021 that have a mechanism, DMSO left out (BBBC021_v1_moa.csv, Broad Bioimage
# Benchmark Collection; Caie et al. 2010, doi:10.1158/1535-7163.MCT-09-1148).
SIZES = (*[1] * 7, *[2] * 12, *[3] * 13, *[4] * 2, 5, 6, 7, 7)
COMPOUND = np.repeat(np.arange(len(SIZES)), SIZES)
TRUTH, BETTER, CHANCE = 0.7, 0.9, 0.1
CORRELATIONS = (0.0, 0.3, 0.6)
DRAWS = 1999  # of exchanges: fewer than on a page, which takes nothing from their exactness


def outcomes(generator: np.random.Generator, truth: float, correlation: float, profiles: int) -> np.ndarray:
    """Right (1) or wrong (0) by treatment and profile, (103, profiles), with a share of `truth` right."""
    right = np.full((len(SIZES), profiles), truth)
    if correlation:
        strength = 1 / correlation - 1
        right = generator.beta(truth * strength, (1 - truth) * strength, size=right.shape)
    return (generator.random((len(COMPOUND), profiles)) < right[COMPOUND]).astype(float)


def measure(generator: np.random.Generator, truths: list[float], profiles: list[int], correlation: float) -> Evidence:
    """The evidence for the best of several methods by one measure."""
    results = [outcomes(generator, truth, correlation, count) for truth, count in zip(truths, profiles, strict=True)]
    parts = [np.add.reduceat(result, np.cumsum((0, *SIZES[:-1]))) / len(COMPOUND) for result in results]
    best = int(np.argmax([part.sum(axis=0).max() for part in parts]))
    column = results[best][:, parts[best].sum(axis=0).argmax()]
    low, _ = statistics.share_interval(column, COMPOUND)
    others = {
        str(method): evidence.ahead(parts[best], part, profiles[best] == profiles[method], DRAWS)
        for method, part in enumerate(parts)
        if method != best
    }
    return Evidence(others, {}, evidence.above(column.mean(), low, CHANCE, CHANCE, sum(profiles)))


def share_clear(truths: list[float], profiles: list[int], measures: int, correlation: float, pages: int, seed: int = 0):
    """Share of pages with any "clear", and its 95 % interval."""
    generator, clear = np.random.default_rng(seed), 0
    for _ in range(pages):
        words, _ = evidence.decide([measure(generator, truths, profiles, correlation) for _ in range(measures)])
        clear += evidence.CLEAR in words
    return clear / pages, *statistics.wilson(clear, pages)


def main(pages: int = 2000) -> None:
    """Print both tables."""
    print(f"Any false clear on a page of equal methods, {pages} pages\n")
    print("| methods | profiles | measures | ICC | share | 95 % interval |\n|---|---|---|---|---|---|")
    methods = [(count, [profiles] * count) for count, profiles in product((2, 3, 10), (1, 4))]
    worst = (0.0, 0.0, 0.0)
    for (count, profiles), measures, correlation in product([*methods, (2, [4, 1])], (1, 6), CORRELATIONS):
        found = share_clear([TRUTH] * count, profiles, measures, correlation, pages)
        worst = max(worst, found)
        shown = " and ".join(map(str, dict.fromkeys(profiles)))
        print(
            f"| {count} | {shown} | {measures} | {correlation} | {found[0]:.4f} | {found[1]:.4f} to {found[2]:.4f} |",
            flush=True,
        )
    print(f"\nThe worst: {worst[0]:.4f}, {worst[1]:.4f} to {worst[2]:.4f}")
    print(f"\nClear where one of two methods is right on {BETTER}, the other on {TRUTH} of the treatments\n")
    print("| profiles | measures | ICC | share | 95 % interval |\n|---|---|---|---|---|")
    for profiles, measures, correlation in product((1, 4), (1, 6), CORRELATIONS):
        found = share_clear([BETTER, TRUTH], [profiles] * 2, measures, correlation, pages)
        print(f"| {profiles} | {measures} | {correlation} | {found[0]:.3f} | {found[1]:.3f} to {found[2]:.3f} |", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
