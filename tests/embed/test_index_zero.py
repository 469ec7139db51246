"""Rows in which the encoder knows nothing."""

import numpy as np

from curate.embed.index import VectorIndex


def test_a_row_of_zeros_has_cosine_nought_with_the_first_and_leaves_the_others_alone():
    index = VectorIndex()
    vectors = np.eye(5, dtype=np.float32)
    index.add(list("abcde"), vectors)
    asked = np.zeros((3, 5), dtype=np.float32)
    asked[1, 3] = 1.0
    assert index.best(asked) == ([0.0, 1.0, 0.0], ["a", "d", "a"])
