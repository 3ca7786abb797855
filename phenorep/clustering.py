"""Spherical k-means: clusters of directions, found piece by piece, so that millions of embeddings fit into memory."""

import torch
from torch.nn import functional

CHUNK = 2**25  # numbers in a table of chunk by clusters: 134 MB in float32


def spherical_kmeans(
    points: torch.Tensor, centroids: torch.Tensor, iterations: int, chunk: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Clusters by cosine similarity.

    In each iteration every point goes to the centroid with the largest dot product, and every centroid becomes the
    normalised mean of its points; one without points stays as it is. At the end the points are assigned once more.

    Parameters
    ----------
    points
        (N, D), each of length 1, of any floating type; computed with in the type of `centroids`.
    centroids
        (K, D) where to start; they are normalised.
    iterations
        Number of times that the centroids move; 0 or more.
    chunk
        Points that are compared with all centroids at once; None: as many as `CHUNK` allows. On one device it changes
        nothing but rounding.

    Returns
    -------
    tuple
        (K, D) centroids of length 1, and (N,) int64, the cluster of each point. They lie on the device of `points`.
    """
    centroids = functional.normalize(centroids, dim=1)
    chunk = chunk or max(1, CHUNK // len(centroids))
    numbers = torch.arange(len(centroids), device=points.device)
    for _ in range(iterations):
        sums, counts = torch.zeros_like(centroids), torch.zeros_like(numbers)
        for part in points.split(chunk):
            part = part.to(centroids.dtype)
            # Sums as a product: adding rows at their places is slow, or not repeatable, on a GPU.
            members = _nearest(part, centroids)[:, None] == numbers
            sums += members.T.to(part.dtype) @ part
            counts += members.sum(dim=0)
        means = sums / counts.clamp_min(1)[:, None]
        centroids = functional.normalize(torch.where(counts[:, None] > 0, means, centroids), dim=1)
    return centroids, torch.cat([_nearest(part.to(centroids.dtype), centroids) for part in points.split(chunk)])


def _nearest(points: torch.Tensor, centroids: torch.Tensor) -> torch.Tensor:
    return (points @ centroids.T).argmax(dim=1)
