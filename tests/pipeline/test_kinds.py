"""The embedded teacher's kinds of problem: how many rows each gave, and which give nothing new."""

import runs

from curate.models.procedural import Procedural, book
from curate.pipeline.explore import Options, explore_run


def test_a_kind_that_repeats_itself_is_reported_as_exhausted(tmp_path, monkeypatch):
    draw = book.write
    stuck = book.kinds_in("en")[0]
    # One kind writes its first problem for ever; the others go on.
    monkeypatch.setattr(book, "write", lambda kind, seed, index, lang: draw(kind, seed, index * (kind != stuck), lang))
    report = explore_run(Options("math", rows=1500, out=tmp_path / "out"))
    assert report.teacher == Procedural.name
    assert report.counts["exhausted_kinds"] == [stuck]
    assert sum(report.counts["per_kind"].values()) == report.accepted == len(runs.accepted(report)) == 1500
    assert report.counts["per_kind"][stuck] < min(n for kind, n in report.counts["per_kind"].items() if kind != stuck)
