"""The card of a run, from what lies in its folder."""

import runs
import yaml

from curate.config import load_domain
from curate.pipeline.card import _drawn_from, card_of, files_of
from curate.pipeline.export import export_dataset
from curate.run import read_settings
from curate.types import Sample


def test_a_card_says_what_made_the_rows_and_by_which_settings(tmp_path):
    report = runs.run(runs.domain_file(tmp_path), tmp_path / "out", rows=10)
    made = (report.dataset / "README.md").read_text(encoding="utf-8")
    assert "| teacher | scripted" in made
    assert "| seed | 0 |" in made and "| ROUGE-L above which an instruction is a copy | 0.7 |" in made
    assert "| cosine above which it is a copy | 0.95 (static) |" in made and "| answers |" not in made
    assert "Not checked: whether the answers are right; quality, by a judge; overlap" in made
    export_dataset(tmp_path / "out", tmp_path / "again", format="messages")
    assert (tmp_path / "again" / "README.md").read_text(encoding="utf-8") == made


def test_the_domain_goes_along_in_full_and_says_nothing_of_servers(tmp_path):
    models = {"teacher": {"spec": "openai:m@http://10.0.0.7/v1"}}
    domain = runs.domain_file(tmp_path, models=models, dedup={"embedder": "static"})
    report = runs.run(domain, tmp_path / "out", rows=5)
    text = (report.dataset / "domain.yaml").read_text(encoding="utf-8")
    assert "10.0.0.7" not in text and "10.0.0.7" not in (report.dataset / "README.md").read_text(encoding="utf-8")
    assert load_domain(report.dataset / "domain.yaml").seed_examples() == load_domain(domain).seed_examples()
    assert yaml.safe_load(text)["models"] == {}
    # Read back, it is the same domain: another run of it has the same hash.
    again = runs.run(str(report.dataset / "domain.yaml"), tmp_path / "again", rows=5)
    hashes = [card_of(path, [], {"dropped": {}, "accepted": 5}).settings["domain file (hash)"]
              for path in (report.out, again.out)]  # fmt: skip
    assert hashes[0] == hashes[1]


def test_a_domain_that_ships_is_made_again_by_its_name(tmp_path):
    report = runs.run("math", tmp_path / "out", "procedural", rows=20, seed=3)
    assert files_of(report.out) == {} and not (report.dataset / "domain.yaml").exists()
    card = (report.dataset / "README.md").read_text(encoding="utf-8")
    (command,) = (line for line in card.splitlines() if line.startswith("curate explore"))
    assert command == (
        "curate explore --domain math --rows 20 --seed 3 --teacher procedural --embedder static --threshold 0.95"
    )
    assert "The rows come out the same, byte for byte." in card
    assert "domain file (hash) | " in card and read_settings(report.out)["domain"]["name"] == "math"


def test_a_few_samples_stand_for_all_and_every_row_is_counted():
    samples = [Sample(str(i), ({"role": "user", "content": "x"},), ("r", str(i % 3))) for i in range(1_000)]
    rows, some = _drawn_from(iter(samples), 200)
    assert rows == {("r", "0"): 334, ("r", "1"): 333, ("r", "2"): 333}
    assert len({sample.id for sample in some}) == 200 and _drawn_from(samples, 200)[1] == some
    assert 60 < sum(int(sample.id) < 400 for sample in some) < 100
    assert _drawn_from(samples, 2_000)[1] == samples
