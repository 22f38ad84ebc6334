"""Random frames of the dense tasks."""

import numpy as np

SIZE = 16
DENSE = ("segmentsemantic", "depth_euclidean", "surface_normal", "edge_texture")


def random_frames(rng: np.random.Generator, count: int, classes: int = 40) -> dict[str, np.ndarray]:
    """``count`` frames of every dense task: labels (count, SIZE, SIZE), the others (count, K, SIZE, SIZE)."""
    normals = rng.normal(size=(count, 3, SIZE, SIZE))
    return {
        "segmentsemantic": rng.integers(0, classes, (count, SIZE, SIZE)),
        "depth_euclidean": rng.uniform(1, 5, (count, 1, SIZE, SIZE)),
        "surface_normal": normals / np.linalg.norm(normals, axis=1, keepdims=True),
        "edge_texture": rng.uniform(0, 1, (count, 1, SIZE, SIZE)),
    }
