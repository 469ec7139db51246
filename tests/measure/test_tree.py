"""Figures of the tree against plain counts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from curate.measure.tree import empty_leaves, held_out_right, leaf_entropy, leaves_of, purity, sibling_overlap
from curate.tree import TaskTree

PATHS = [("Law", "Rent", "Notice"), ("Law", "Rent", "deposit"), ("Law", "Rent"), ("Law", "Torts"), ("Law", "Torts")]


def tree() -> TaskTree:
    law = TaskTree("Law")
    rent = law.add(law.root.id, "Rent").task
    law.add(rent.id, "Notice")
    law.add(rent.id, "Deposit")
    law.add(law.root.id, "Torts")
    law.add(law.root.id, "Crime")
    return law


def test_samples_belong_to_leaves_of_the_tree():
    leaves = leaves_of(PATHS, tree())
    assert leaves.count == 4
    notice, deposit, none, torts, again = leaves.of.tolist()
    assert none == -1
    assert torts == again
    assert len({notice, deposit, torts}) == 3
    assert leaves.parents[notice] == leaves.parents[deposit] != leaves.parents[torts]


def test_without_a_tree_leaves_are_the_paths_that_end():
    leaves = leaves_of([*PATHS, ()])
    assert leaves.count == 3
    assert (leaves.of >= 0).tolist() == [True, True, False, True, True, False]


def test_evenness_is_entropy_over_its_highest():
    assert leaf_entropy(np.array([0, 1, 2, 3]), 4) == pytest.approx(1)
    assert leaf_entropy(np.array([2, 2, 2]), 4) == 0
    expected = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(3)
    assert leaf_entropy(np.array([0, 0, 0, 2]), 3) == pytest.approx(expected)
    assert leaf_entropy(np.array([0]), 1) == 0


def test_empty_leaves_are_those_without_samples():
    assert empty_leaves(np.array([0, 0, 3]), 8) == 0.75


def test_purity_and_overlap_split_the_neighbours():
    leaves, nearest, parents = np.array([0, 0, 1, 2, 2]), np.array([0, 1, 1, 0, -1]), np.array([7, 7, 8])
    assert purity(leaves, nearest) == 2 / 5
    # Leaf 1 is a sibling of leaf 0; leaf 2 has another parent, and its last neighbour belongs to no leaf.
    assert sibling_overlap(leaves, nearest, parents) == 1 / 5


def test_held_out_samples_find_leaves_that_lie_apart():
    rng = np.random.default_rng(0)
    leaves = rng.integers(0, 6, 300)
    vectors = np.eye(6, dtype=np.float32)[leaves] + rng.normal(0, 0.05, (300, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    right = held_out_right(leaves, vectors, 0)
    assert len(right) == sum(count // 5 for count in np.bincount(leaves))
    assert right.all()
    mixed = held_out_right(rng.permutation(leaves), vectors, 0)
    assert mixed.mean() < 0.5


def test_a_leaf_of_one_sample_is_never_held_out():
    vectors = np.eye(4, dtype=np.float32)
    assert len(held_out_right(np.array([0, 1, 2, 3]), vectors, 0)) == 0
    assert held_out_right(np.array([0, 0, 1, 2]), np.eye(4, dtype=np.float32)[[0, 0, 2, 3]], 0).tolist() == [True]
