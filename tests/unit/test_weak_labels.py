"""Partners of the same weak label, and labels drawn equally often."""

import numpy as np
import pytest

from phenorep import weak_labels


def test_partners_share_the_label_whatever_the_order_of_rows():
    generator = np.random.default_rng(0)
    labels = generator.permutation(np.repeat(np.arange(6), [40, 1, 3, 2, 25, 1]))
    order = generator.integers(0, len(labels), 5000)
    found = weak_labels.partners(order, labels, generator)
    np.testing.assert_array_equal(labels[found], labels[order])
    alone = np.isin(labels[order], [1, 5])
    np.testing.assert_array_equal(found == order, alone)
    of_first = found[order == np.flatnonzero(labels == 2)[0]]
    counts = np.bincount(of_first, minlength=len(labels))[np.flatnonzero(labels == 2)]
    assert counts[0] == 0
    assert min(counts[1:]) > 0.3 * counts.sum()  # each other one is as likely
    any_of_them = weak_labels.partners(order, labels, generator, itself=True)
    np.testing.assert_array_equal(labels[any_of_them], labels[order])
    assert (any_of_them == order)[labels[order] == 3].mean() == pytest.approx(0.5, abs=0.15)


def test_labels_are_drawn_equally_often_whatever_the_order_of_rows():
    """The released code lays weights out by label, which is right only for a sorted table."""
    generator = np.random.default_rng(0)
    labels = generator.permutation(np.repeat(np.arange(4), [8, 1356, 30, 60]))
    drawn = np.concatenate([weak_labels.balanced(labels, generator) for _ in range(20)])
    assert len(drawn) == 20 * len(labels)
    np.testing.assert_allclose(np.bincount(labels[drawn]) / len(drawn), 0.25, atol=0.01)
