import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from phenorep.clustering import spherical_kmeans


def directions(count, length=8, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(count, length, generator=generator, dtype=dtype), dim=1)


def by_the_book(points, centroids, iterations):
    """Loops over points and clusters."""
    points, centroids = points.numpy(), centroids.numpy().copy()
    for step in range(iterations + 1):
        found = np.array([np.argmax([point @ centroid for centroid in centroids]) for point in points])
        if step < iterations:
            for cluster in set(found):
                centroids[cluster] = points[found == cluster].mean(axis=0)
                centroids[cluster] /= np.linalg.norm(centroids[cluster])
    return centroids, found


@pytest.mark.parametrize("iterations", [0, 1, 10])
def test_clusters_are_those_of_the_algorithm(iterations):
    points = directions(60)
    centroids, found = spherical_kmeans(points, points[:7], iterations)
    expected, clusters = by_the_book(points, points[:7], iterations)
    np.testing.assert_allclose(centroids.numpy(), expected, rtol=1e-9)
    assert found.tolist() == clusters.tolist()


def test_separable_clusters_are_those_of_scikit_learn():
    axes = torch.eye(8, dtype=torch.float64)[:5]
    truth = torch.arange(5).repeat(40)
    noise = torch.randn(200, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    points = torch.nn.functional.normalize(axes[truth] + 0.15 * noise, dim=1)
    start = points[[0, 1, 2, 3, 4]]
    centroids, found = spherical_kmeans(points, start, 10)
    reference = KMeans(5, init=start.numpy(), n_init=1).fit(points.numpy())
    assert found.tolist() == reference.labels_.tolist() == truth.tolist()
    expected = reference.cluster_centers_ / np.linalg.norm(reference.cluster_centers_, axis=1, keepdims=True)
    np.testing.assert_allclose(centroids.numpy(), expected, rtol=1e-9)


def test_a_cluster_without_points_keeps_its_centroid():
    points = torch.nn.functional.normalize(directions(50) + 3 * torch.eye(8, dtype=torch.float64)[0], dim=1)
    away = -torch.eye(8, dtype=torch.float64)[:1]
    centroids, found = spherical_kmeans(points, torch.cat([points[:3], away]), 4)
    assert set(found.tolist()) == {0, 1, 2}
    assert torch.equal(centroids[3:], away)
    assert (centroids[:3] - points[:3]).abs().max() > 0.01


def test_pieces_change_nothing():
    points = directions(101)
    whole = spherical_kmeans(points, points[:9], 5, chunk=1000)
    pieces = spherical_kmeans(points, points[:9], 5, chunk=7)
    torch.testing.assert_close(pieces[0], whole[0], rtol=1e-12, atol=1e-12)
    assert torch.equal(pieces[1], whole[1])


def test_half_precision_points_are_computed_with_in_full():
    points = directions(300, dtype=torch.float32)
    half = spherical_kmeans(points.half(), points[:6], 5)
    assert half[0].dtype == torch.float32
    same = spherical_kmeans(points.half().float(), points[:6], 5)
    assert torch.equal(half[0], same[0])
    torch.testing.assert_close(half[0].norm(dim=1), torch.ones(6))
