"""How often the 95 % intervals of scores hold the truth, where samples are few, alike within a unit, or nearly all right.

``python -m benchmarks.intervals [--draws 2000] [--seed 0]`` draws made-up results whose truth is known, puts an interval on
each, and prints for each case the truth, the share of intervals that hold it, the standard error of that share, the mean
width, and the share of the percentile bootstrap (over items; over wells for balanced accuracy) that it took the place of.

- share: items of a unit are right with the unit's own probability, beta distributed (``beta``), or where a normal variable
  of unit and item passes a threshold (``normal``); the intraclass correlation is that of right and wrong in both.
- AUC: positives and negatives of one plate, normal; ``skewed``: exponential; ``compounds``: four plates hold a well of each
  of eight compounds, half of whose variance is the compound's.
- mean average precision: logistic of a normal variable, 3 treatments of each of 10 compounds.
- balanced accuracy: 4 classes of 4 compounds, of 3 wells of 10 samples each; of the classes .95, .8, .6 and .4 are read.
- Spearman: 40 wells, both variables normal, or 8 doses of which the effect is linear.
- quality: 130 images of 36 wells, of one class each, told by classifiers from 5 draws of labels.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from phenorep import rank_correlation, statistics
from phenorep.quality import scoring

# Treatments of each of the 38 compounds with a known mechanism, in BBBC021_v1_moa.csv of the Broad Bioimage Benchmark
# Collection, by name of compound: 103 in all.
BBBC021 = (2, 6, 7, 3, 3, 5, 3, 3, 2, 2, 2, 2, 2, 1, 3, 1, 1, 1, 3, 2, 1, 4, 3, 3, 3, 3, 2, 1, 2, 1, 3, 4, 2, 2, 2, 3, 3, 7)
WELLS = (4,) * 22 + (3,) * 14  # 130 images in 36 wells
CLASSES = (0.95, 0.8, 0.6, 0.4)
BOOTSTRAPS = 500  # of each percentile interval

Generator = np.random.Generator
Interval = tuple[float, float]


@dataclass(frozen=True)
class Case:
    """Made-up results whose truth is known, and both intervals of them."""

    name: str
    truth: float
    draw: Callable[[Generator], Any]
    interval: Callable[[Any], Interval]
    percentile: Callable[[Any, Generator], Interval]


def cases() -> list[Case]:
    """All cases; truths without a formula are means of large samples, drawn with seeds of their own."""
    found = [
        auc("AUC .97, 8 and 16 wells", 0.97),
        auc("AUC .97, 8 and 16 wells, skewed", 0.97, skewed=True),
        auc("AUC .8, 8 and 16 wells", 0.8),
        auc("AUC .8, 8 compounds on 4 plates", 0.8, plates=4, correlation=0.5),
        share("accuracy .99, 130 images", 0.99, (1,) * 130),
        share("accuracy .99, 36 wells, ICC .3, beta", 0.99, WELLS, 0.3),
    ]
    for truth in (0.7, 0.9):
        found.append(share(f"NSC {truth:.1g}, ICC 0", truth, BBBC021))
        for correlation in (0.3, 0.6):
            for model in ("beta", "normal"):
                found.append(share(f"NSC {truth:.1g}, ICC {correlation}, {model}", truth, BBBC021, correlation, model))
    found += [precision("mean average precision, middling", 0.5, 1.0), precision("mean average precision, high", 3.0, 1.0)]
    found += [balanced("balanced accuracy, 16 compounds", 0.2)]
    found += [rank("Spearman .5, normal", 0.5), rank("Spearman .95, normal", 0.95)]
    found += [rank("Spearman, 8 doses, weak", doses=0.25), rank("Spearman, 8 doses, strong", doses=1.1)]
    found += [quality(name, size) for size in (1.2, 2.1) for name in scoring.NAMES]
    return found


def share(name: str, truth: float, sizes: Sequence[int], correlation: float = 0.0, model: str = "beta") -> Case:
    """The share of right items, in units of these sizes."""
    units = np.repeat(np.arange(len(sizes)), sizes)

    def draw(generator: Generator) -> np.ndarray:
        return right(generator, truth, units, correlation, model)

    return Case(name, truth, draw, lambda values: statistics.share_interval(values, units), over_items)


def right(generator: Generator, truth: float, units: np.ndarray, correlation: float, model: str) -> np.ndarray:
    """Items that are right, as 1, or wrong, as 0; (n,)."""
    count = units.max() + 1
    if correlation == 0:
        return (generator.random(len(units)) < truth).astype(float)
    if model == "beta":
        size = (1 - correlation) / correlation
        chances = generator.beta(truth * size, (1 - truth) * size, count)[units]
        return (generator.random(len(units)) < chances).astype(float)
    shared, limit = latent(truth, correlation)
    noise = generator.normal(size=len(units)) * np.sqrt(1 - shared)
    return (generator.normal(size=count)[units] * np.sqrt(shared) + noise < limit).astype(float)


def latent(truth: float, correlation: float) -> tuple[float, float]:
    """Correlation of normal variables, and the threshold, that give items of a unit this intraclass correlation."""
    from scipy.optimize import brentq
    from scipy.special import ndtr, ndtri

    limit, nodes = ndtri(truth), np.linspace(-8, 8, 4001)
    density = np.exp(-(nodes**2) / 2) / np.sqrt(2 * np.pi) * (nodes[1] - nodes[0])

    def excess(shared: float) -> float:
        chances = ndtr((limit - np.sqrt(shared) * nodes) / np.sqrt(1 - shared))
        return float((chances**2 * density).sum() - truth**2 - correlation * truth * (1 - truth))

    return float(brentq(excess, 1e-6, 1 - 1e-6)), float(limit)


def auc(name: str, truth: float, plates: int = 1, correlation: float = 0.0, skewed: bool = False) -> Case:
    """8 positive and 16 negative wells a plate; a compound has a positive well on each."""
    from scipy.special import ndtri

    strata = np.repeat(np.arange(plates), 8), np.repeat(np.arange(plates), 16)
    compounds = np.tile(np.arange(8), plates)
    compared = strata[0][:, None] == strata[1][None, :]

    def draw(generator: Generator) -> np.ndarray:
        if skewed:
            positive, negative = (generator.exponential(size=len(names)) for names in strata)
            return statistics.wins(positive * truth / (1 - truth), negative)
        noise, negative = (generator.normal(size=len(names)) for names in strata)
        effect = generator.normal(size=8)[compounds] * np.sqrt(correlation) + noise * np.sqrt(1 - correlation)
        return statistics.wins(effect + ndtri(truth) * np.sqrt(2), negative)

    def percentile(won: np.ndarray, generator: Generator) -> Interval:
        positive, negative = (often(generator, size) for size in won.shape)
        total = ((positive @ compared) * negative).sum(axis=1)
        return middle(((positive @ (won * compared)) * negative).sum(axis=1) / total)

    return Case(name, truth, draw, lambda won: auc_limits(won, compared, compounds, strata), percentile)


def auc_limits(won: np.ndarray, compared: np.ndarray, units: np.ndarray, strata: tuple[np.ndarray, np.ndarray]) -> Interval:
    """The interval of an area from the results of all pairs, (p, n), of which some are `compared`."""
    pairs = compared.sum(axis=1)
    places = np.where(compared, won, 0.0).sum(axis=1) / pairs
    negatives = {str(name): int((strata[1] == name).sum()) for name in np.unique(strata[1])}
    return statistics.auc_interval(places, pairs, units, strata[0], negatives)


def precision(name: str, place: float, spread: float) -> Case:
    """Mean of average precisions; half of the variance on the logistic scale is the compound's."""
    units = np.repeat(np.arange(10), 3)

    def values(generator: Generator, units: np.ndarray) -> np.ndarray:
        effect = generator.normal(size=units.max() + 1)[units] + generator.normal(size=len(units))
        return 1 / (1 + np.exp(-place - spread * effect))

    truth = float(values(np.random.default_rng(1), np.arange(10**6)).mean())
    return Case(name, truth, partial(values, units=units), lambda v: statistics.share_interval(v, units), over_items)


def balanced(name: str, correlation: float) -> Case:
    """Balanced accuracy over compounds; samples of a compound are alike, and its wells no more than that."""
    classes = np.repeat(np.arange(4), 120)
    compounds, wells = np.repeat(np.arange(16), 30), np.repeat(np.arange(48), 10)

    def draw(generator: Generator) -> np.ndarray:
        parts = [right(generator, truth, np.repeat(np.arange(4), 30), correlation, "beta") for truth in CLASSES]
        return np.concatenate(parts)

    def percentile(values: np.ndarray, generator: Generator) -> Interval:
        weights = often(generator, 48)[:, wells]
        member = np.eye(4)[classes]
        with np.errstate(invalid="ignore"):  # a draw may leave a class out
            return middle(((weights * values) @ member / (weights @ member)).mean(axis=1))

    return Case(
        name,
        float(np.mean(CLASSES)),
        draw,
        lambda values: statistics.share_interval(values, compounds, strata=classes),
        percentile,
    )


def rank(name: str, truth: float | None = None, doses: float | None = None) -> Case:
    """Rank correlation of 40 wells: of normal variables, or of 8 doses with an effect that grows so much with each."""

    def draw(generator: Generator, repeats: int = 5) -> np.ndarray:
        first, noise = generator.normal(size=(2, 8 * repeats))
        if doses is None:
            slope = 2 * np.sin(np.pi / 6 * truth)  # Pearson's correlation of normal variables with this rank correlation
            return np.stack([first, slope * first + np.sqrt(1 - slope**2) * noise])
        first = np.repeat(np.arange(8.0), repeats)
        return np.stack([first, doses * first + noise])

    def percentile(both: np.ndarray, generator: Generator) -> Interval:
        rows = generator.integers(both.shape[1], size=(BOOTSTRAPS, both.shape[1]))
        return middle(rank_correlation.spearman(both[0][rows], both[1][rows]))

    truth = float(rank_correlation.spearman(*draw(np.random.default_rng(1), 50_000))) if truth is None else truth
    return Case(name, truth, draw, lambda both: rank_correlation.spearman_interval(*both), percentile)


def quality(metric: str, size: float) -> Case:
    """Images told normal or abnormal from 5 draws of labels; wells are of one class each."""

    def draw(generator: Generator, wells: np.ndarray | None = None, draws: int = 5) -> tuple:
        units = np.repeat(np.arange(36), WELLS) if wells is None else wells
        truth = units % 2 == 0
        image = generator.normal(size=units.max() + 1)[units] * 0.6 + generator.normal(size=len(units)) * 0.8
        labels = generator.normal(size=(draws, 1)) * 0.3 + generator.normal(size=(draws, len(units))) * 0.3
        return truth, 1 / (1 + np.exp(-np.where(truth, size, -size) - image - labels)), units

    def interval(made: tuple) -> Interval:
        return scoring.intervals(*made)[metric]

    def percentile(made: tuple, generator: Generator) -> Interval:
        truth, probabilities, units = made
        values = scoring._weighted(truth, probabilities, often(generator, 36)[:, units], None)[metric]
        chosen = generator.multinomial(5, np.full(5, 0.2), size=len(values)) / 5
        return middle((values * chosen).sum(axis=1))

    large = draw(np.random.default_rng(1), np.repeat(np.arange(2000), 4), 200)
    truth = float(scoring.metrics(*large[:2])[metric].mean())
    return Case(f"quality, {metric}, {truth:.3f}", truth, draw, interval, percentile)


def over_items(values: np.ndarray, generator: Generator) -> Interval:
    """Percentile bootstrap of a mean, over items."""
    return middle(often(generator, len(values)) @ values / len(values))


def often(generator: Generator, count: int) -> np.ndarray:
    """How often each of `count` items is drawn, (BOOTSTRAPS, count)."""
    return generator.multinomial(count, np.full(count, 1 / count), size=BOOTSTRAPS).astype(float)


def middle(draws: np.ndarray) -> Interval:
    """The 2.5th and 97.5th percentile of the finite draws."""
    low, high = np.nanquantile(draws, (0.025, 0.975))
    return float(low), float(high)


def cover(case: Case, draws: int, seed: int, bootstrap: bool = True) -> dict[str, float | str]:
    """Share of intervals that hold the truth, as a row of the table."""
    generator, others = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    limits, resampled = np.zeros((draws, 2)), np.zeros(draws, dtype=bool)
    for number in range(draws):
        made = case.draw(generator)
        limits[number] = case.interval(made)
        if bootstrap:
            low, high = case.percentile(made, others)
            resampled[number] = low <= case.truth <= high
    # A bound at the end of the scale may differ from it by rounding.
    held = (limits[:, 0] <= case.truth + 1e-12) & (case.truth - 1e-12 <= limits[:, 1])
    coverage = float(held.mean())
    error = float(np.sqrt(coverage * (1 - coverage) / draws))
    row = {"case": case.name, "truth": case.truth, "nominal": 0.95, "coverage": coverage, "error": error}
    row["width"] = float((limits[:, 1] - limits[:, 0]).mean())
    return row | {"percentile": float(resampled.mean()) if bootstrap else np.nan}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    table = pd.DataFrame([cover(case, given.draws, given.seed) for case in cases()])
    print(table.to_string(index=False, float_format="{:.3f}".format))


if __name__ == "__main__":
    main()
