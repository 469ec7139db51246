"""Vendi score and NovelSum against their definitions, written out."""

from __future__ import annotations

import numpy as np
import pytest

from curate.measure.bootstrap import halves, standard_error
from curate.measure.vectors import density, novel_sum, vendi_error, vendi_score


def unit(n: int, d: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def vendi_by_definition(vectors: np.ndarray) -> float:
    """Friedman & Dieng, definition 3.1: from the n x n matrix of similarities."""
    eigenvalues = np.linalg.eigvalsh(vectors.astype(np.float64) @ vectors.T.astype(np.float64) / len(vectors))
    positive = eigenvalues[eigenvalues > 1e-12]
    return float(np.exp(-(positive * np.log(positive)).sum()))


@pytest.mark.parametrize(("n", "d"), [(300, 24), (20, 64), (7, 7)])
def test_vendi_is_that_of_the_similarity_matrix(n, d):
    vectors = unit(n, d)
    assert vendi_score(vectors) == pytest.approx(vendi_by_definition(vectors), rel=1e-6)


def test_vendi_counts_different_samples():
    different = np.eye(5, 8, dtype=np.float32)
    assert vendi_score(different) == pytest.approx(5)
    assert vendi_score(np.repeat(different, 40, axis=0)) == pytest.approx(5)
    assert vendi_score(np.repeat(different[:1], 9, axis=0)) == pytest.approx(1)


def test_vendi_gives_what_the_authors_package_gives():
    # vendi_score 0.0.3, score_dual(v, normalize=True), on these vectors.
    vectors = np.random.default_rng(3).normal(size=(300, 24)).astype(np.float32)
    assert vendi_score(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)) == pytest.approx(
        23.233052659234964, rel=1e-6
    )


def test_the_error_of_vendi_is_that_of_half_sampling():
    vectors = unit(2_000, 16, seed=1) + 0.5 * unit(1, 16)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    replicates = np.array([vendi_score(vectors[half]) for half in halves(2_000, 0, replicates=200)])
    assert vendi_error(vectors) == pytest.approx(standard_error(replicates, 1_000, 2_000), rel=0.15)


def novel_by_the_authors(distances: np.ndarray, densities: np.ndarray) -> float:
    """The authors' `novelsum`, at power 1: weights by rank within a row, the row scaled by its density."""
    total = 0.0
    for row, factor in zip(distances, densities, strict=True):
        weights = 1 / np.arange(1, len(row) + 1)
        total += np.average(np.sort(row * factor), weights=weights)
    return total / len(distances)


def test_novelsum_weighs_near_samples_most():
    vectors = unit(700, 12, seed=2)
    distances = 1 - vectors.astype(np.float64) @ vectors.T
    assert novel_sum(vectors) == pytest.approx(novel_by_the_authors(distances, np.ones(700)), rel=1e-5)
    densities = np.random.default_rng(4).uniform(0.5, 2, 700)
    expected = novel_by_the_authors(distances, densities)
    assert novel_sum(vectors, densities) == pytest.approx(expected, rel=1e-5)


def test_copies_lower_novelsum_without_a_reference():
    copies = np.repeat(unit(50, 12), 8, axis=0)
    assert novel_sum(copies) < 0.8 * novel_sum(unit(400, 12, seed=9))


def test_density_is_of_the_nearest_in_the_reference():
    vectors, reference = unit(30, 6), unit(50, 6, seed=5)
    found = density(vectors, np.concatenate([reference, vectors, vectors]))
    every = np.concatenate([reference, vectors]).astype(np.float64)
    for row, factor in zip(vectors.astype(np.float64), found, strict=True):
        squared = np.sort(((every - row) ** 2).sum(axis=1))[1:11]
        assert factor == pytest.approx((squared.mean() + 1e-9) ** -0.5, rel=1e-4)
