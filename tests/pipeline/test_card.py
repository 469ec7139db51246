"""The card of a run, from what lies in its folder."""

import runs

from curate.pipeline.dataset import export_dataset


def test_a_card_says_what_made_the_rows_and_by_which_settings(tmp_path):
    report = runs.run(runs.domain_file(tmp_path), tmp_path / "out", rows=10)
    made = (report.dataset / "README.md").read_text(encoding="utf-8")
    assert "- teacher: scripted" in made
    assert "| seed | 0 |" in made and "| ROUGE-L above which an instruction is a copy | 0.7 |" in made
    assert "| cosine above which it is a copy | 0.95 (static) |" in made and "answers" not in made
    export_dataset(tmp_path / "out", tmp_path / "again", format="messages")
    assert (tmp_path / "again" / "README.md").read_text(encoding="utf-8") == made
