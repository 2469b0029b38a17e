"""Arithmetic of vectors that several parts need."""

import numpy as np

from ragkit.core.types import FloatArray


def unit(vectors: FloatArray) -> FloatArray:
    """Return a vector or rows of them at unit length, float32; zeros stay as they are."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: FloatArray = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return scaled
