"""The whole job on `transformers serve`, which ignores the schema of a reply: it ends, and every loss has its cause."""

from __future__ import annotations

import pytest
from real_servers import LENGTHS

from curate.io import read_jsonl

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_noise_without_a_schema_ends_by_saturation_and_every_loss_is_counted(hf, tiny):
    ran = hf.explore("--domain", str(LENGTHS), "--rows", "20", "--out", "run", "--teacher", f"hf:{tiny}")
    assert (ran.code, ran.report["accepted"], ran.report["stopped"]) == (3, 0, "saturated"), ran
    counts = ran.report["counts"]
    assert counts["exhausted"] == [["Brainstorm ideas"]]
    # Whether noise ends by itself or at max_tokens is chance: the one is unreadable, the other truncated.
    assert sum(counts["lost"].values()) == counts["calls"] > 0
    assert counts["lost"].keys() <= {"unreadable", "truncated"}
    assert counts["dropped"] == {f"generate: {cause}": count for cause, count in counts["lost"].items()}
    explored = counts["explore"]
    assert sum(explored["lost"].values()) == explored["lookahead"] + explored["backtrack"] == 3
    (kept_on_disk,) = (hf.folder / "run").glob("accepted.*.dropped.jsonl")
    assert len(list(read_jsonl(kept_on_disk))) == counts["calls"]
    assert hf.left_behind() == []
