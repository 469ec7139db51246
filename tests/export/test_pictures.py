"""The pictures of the card: areas in proportion, the same bytes for the same rows, names that are only names."""

import struct
import warnings
from collections import Counter

import numpy as np
import pytest

from curate.export import pictures
from curate.export.pictures import branch_of, branches_of, plane, sample_map, squarified, tree_map

ROWS = Counter({("r", f"branch {i}", f"task {j}"): 5 + i + j for i in range(4) for j in range(3)})


def size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", png[16:24])


def test_boxes_fill_the_sheet_in_proportion_and_do_not_overlap():
    sizes = [40, 25, 12, 9, 7, 4, 2, 1]
    boxes = squarified(sizes, (1.0, 2.0, 10.0, 5.0))
    areas = np.array([width * height for _, _, width, height in boxes])
    np.testing.assert_allclose(areas, np.array(sizes) / 100 * 50)
    for left, bottom, width, height in boxes:
        assert left >= 1 - 1e-9 and bottom >= 2 - 1e-9 and left + width <= 11 + 1e-9 and bottom + height <= 7 + 1e-9
        assert max(width / height, height / width) < 4
    for i, (a, b, w, h) in enumerate(boxes):
        for c, d, x, y in boxes[:i]:
            assert a + w <= c + 1e-9 or c + x <= a + 1e-9 or b + h <= d + 1e-9 or d + y <= b + 1e-9


def test_the_same_rows_give_the_same_picture():
    first = tree_map(ROWS)
    assert first is not None and tree_map(Counter(dict(reversed(ROWS.items())))) == first
    width, height = size(first)
    assert 1_300 < width < 2_000 and 700 < height < 1_100 and len(first) < 400_000


def test_a_name_is_no_formula_and_steers_nothing():
    hostile = Counter({("r", "$\\frac{1$ \x1b[31m"): 3, ("r", "x" * 500, "$x^"): 4, ("r", "b", "a\nb\u202e"): 2})
    assert tree_map(hostile) is not None
    paths = list(hostile.elements())
    assert (
        sample_map(np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32), paths, branches_of(hostile))
        is not None
    )


def test_without_branches_or_letters_there_is_no_map(monkeypatch):
    assert tree_map({("r",): 5, (): 3}) is None
    monkeypatch.setattr(pictures, "FONTS", ("DejaVu Sans",))
    assert tree_map({("r", "几何"): 5, ("r", "代数"): 3}) is None
    assert sample_map(np.eye(3, dtype=np.float32), [("r", "几何")] * 3, ["几何"]) is None


def test_the_plane_is_that_of_the_principal_components():
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(300, 5)) * [1, 9, 2, 4, 0.5]).astype(np.float32)
    points = plane(vectors)
    centred = vectors - vectors.mean(axis=0)
    _, values, axes = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    np.testing.assert_allclose(np.abs(points), np.abs(centred @ axes[:2].T), atol=1e-3)
    np.testing.assert_allclose(points.var(axis=0) * 300, values[:2] ** 2, rtol=1e-4)
    np.testing.assert_array_equal(plane(vectors), points)
    assert plane(np.ones((4, 1), dtype=np.float32)).tolist() == [[0, 0]] * 4


@pytest.mark.parametrize(("path", "branch"), [((), ""), (("r",), "r"), (("r", "a"), "a"), (("r", "a", "b"), "a")])
def test_the_branch_of_a_task(path, branch):
    assert branch_of(path) == branch


def test_a_branch_has_the_same_colour_in_both_pictures_and_many_share_the_last_one():
    rows = Counter({("r", f"b{i:02}"): i + 1 for i in range(30)})
    branches = branches_of(rows)
    assert branches[:2] == ["b29", "b28"] and len(branches) == 30 and branches_of({("r", "a"): 0, (): 4}) == []
    paths = list(rows.elements())
    vectors = np.random.default_rng(1).normal(size=(len(paths), 8)).astype(np.float32)
    drawn = sample_map(vectors, paths, branches)
    assert drawn is not None and drawn == sample_map(vectors, paths, branches)
    assert drawn != sample_map(vectors, paths, branches[::-1])
    assert sample_map(vectors[:2], paths[:2], branches) is None
    assert sample_map(vectors, [()] * len(paths), []) is not None


def test_letters_of_another_script_are_drawn_where_a_font_has_them():
    drawn = {("r", "几何与三角", "三角函数的图象与性质"): 5, ("r", "代数"): 3}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = tree_map(drawn)
    if picture is None:
        pytest.skip("no installed font has Chinese letters")
    assert picture != tree_map({("r", "x"): 5, ("r", "y"): 3})
