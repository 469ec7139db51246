"""The domain file: what it holds, what is said of a wrong one, and what writing it brings back."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.config import Domain, UnknownDomain, check_domain, domain_from_draft, load_domain, write_domain
from curate.errors import ConfigError, RunError

MINIMAL = "root: {name: Play chess}\n"
SPECS = "procedural, scripted:FILE.py, openai:NAME, openai:NAME@URL, vllm:NAME, hf:NAME"


@pytest.fixture
def wrong(tmp_path, monkeypatch):
    """Return a function from the text of a domain file to the lines of the error it gives."""
    monkeypatch.chdir(tmp_path)

    def lines(text: str, **files: str) -> list[str]:
        Path("chess.yaml").write_text(text)
        for name, content in files.items():
            Path(f"{name}.jsonl").write_text(content)
        with pytest.raises(ConfigError) as error:
            load_domain("chess.yaml")
        return str(error.value).splitlines()

    return lines


def load(tmp_path: Path, text: str, name: str = "chess.yaml") -> Domain:
    (tmp_path / name).write_text(text)
    return load_domain(tmp_path / name)


def test_a_file_with_a_root_alone_is_a_domain_with_the_published_numbers(tmp_path):
    domain = load(tmp_path, MINIMAL)
    assert (domain.name, domain.language, domain.root.name) == ("chess", "en", "Play chess")
    assert (domain.explore.depth, domain.explore.width, domain.rouge.threshold) == (2, (8, 6), 0.7)
    assert (domain.dedup.embedder, domain.dedup.threshold, domain.judge) == ("static", "auto", None)
    assert (domain.seed_examples(), domain.max_chars) == ([], 4000)
    assert [domain.explore.width_at(depth) for depth in range(4)] == [8, 6, 0, 0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "explore:\n  widht: 4",
            "chess.yaml:3: explore.widht is not a key here; did you mean 'width'?"
            " (known: depth, width, per_call, max_tasks, saturation, merge_candidates)",
        ),
        (
            "rules:\n  answer: {}",
            "chess.yaml:3: rules.answer is not a key here (known: instruction, input, response)",
        ),
        ("7: x", "chess.yaml:1: 7 must be text (in quotes), not 7"),
        (
            "name: ../x",
            "chess.yaml:2: name: '../x' names the run's folder and takes letters, digits, '-', '_' and '.' only",
        ),
        ("language: fr", "chess.yaml:2: language: 'fr' is not a language here (known: en, zh)"),
        ("guidance: [a]", "chess.yaml:2: guidance must be text (in quotes), not ['a']"),
        ("explore: {depth: two}", "chess.yaml:2: explore.depth must be a whole number, not 'two'"),
        ("explore: {per_call: 2.5}", "chess.yaml:2: explore.per_call must be a whole number, not 2.5"),
        ("explore: {depth: 11, width: 2}", "chess.yaml:2: explore.depth must be at most 10, not 11"),
        (
            "explore: {depth: 3, width: [8, 6]}",
            "chess.yaml:2: explore.width: [8, 6] has 2 numbers, depth is 3; give 3, or one for all",
        ),
        (
            "explore: {depth: 3}",
            "chess.yaml:2: explore.width: [8, 6] has 2 numbers, depth is 3; give 3, or one for all",
        ),
        ("explore: 3", "chess.yaml:2: explore must be a mapping of keys to values, not 3"),
        ("rouge: {threshold: 70}", "chess.yaml:2: rouge.threshold must be at most 1, not 70"),
        ("rouge: {field: output}", "chess.yaml:2: rouge.field must be one of text, instruction, not 'output'"),
        (
            "dedup: {threshold: auot}",
            "chess.yaml:2: dedup.threshold: 'auot' is neither 'auto' nor a number from 0 to 1",
        ),
        ("dedup: {threshold: 1.2}", "chess.yaml:2: dedup.threshold: 1.2 is neither 'auto' nor a number from 0 to 1"),
        (
            "verify: {kind: maths}",
            "chess.yaml:2: verify.kind must be one of none, math, not 'maths'; did you mean 'math'?",
        ),
        ("verify: {votes: 0}", "chess.yaml:2: verify.votes must be at least 1, not 0"),
        ("export: {reasoning: perhaps}", "chess.yaml:2: export.reasoning must be true or false, not 'perhaps'"),
        (
            "export: {format: mesages}",
            "chess.yaml:2: export.format must be one of messages, alpaca, prompt_completion, sharegpt, not 'mesages';"
            " did you mean 'messages'?",
        ),
        ("judge: {min_score: 4}", "chess.yaml:2: judge.rubric must be text that is not empty, not ''"),
        (
            "rubric: r\njudge: {min_score: 9}",
            "chess.yaml:3: judge.scale_max: 5 is below min_score, which is 9: every sample would be dropped",
        ),
        (
            "rules:\n  instruction:\n    min_words: 5\n    max_words: 3",
            "chess.yaml:5: rules.instruction.max_words: 3 is below min_words, which is 5",
        ),
        (
            "rules: {instruction: {forbidden_words: [on]}}",
            "chess.yaml:2: rules.instruction.forbidden_words.0 must be text (in quotes), not True",
        ),
        (
            "language: zh\nrules: {input: {ascii_start_only: true}}",
            "chess.yaml:3: rules: input.ascii_start_only would drop every sample in Chinese; leave it out",
        ),
        (
            "models: {techer: {spec: procedural}}",
            "chess.yaml:2: models.techer is not a key here; did you mean 'teacher'?"
            " (known: teacher, student, judge, embedder)",
        ),
        (
            "models: {teacher: {spec: opnai:x}}",
            f"chess.yaml:2: models.teacher.spec: 'opnai:x' is no model spec; it takes {SPECS}",
        ),
        (
            "models: {judge: {spec: 'vllm:'}}",
            f"chess.yaml:2: models.judge.spec: 'vllm:' is no model spec; it takes {SPECS}",
        ),
        (
            "models: {judge: {spec: procedural:x}}",
            f"chess.yaml:2: models.judge.spec: 'procedural:x' is no model spec; it takes {SPECS}",
        ),
        (
            "models: {teacher: {spec: 'openai:m@localhost:80'}}",
            "chess.yaml:2: models.teacher.spec: 'openai:m@localhost:80' is no model spec;"
            " it takes openai:NAME@http://HOST:PORT/v1[,URL...]",
        ),
        (
            "tasks: [{name: Openings}, {name: openings.}]",
            "chess.yaml:2: tasks: the task 'openings.' stands here twice; keep one",
        ),
        ("tasks: [{description: x}]", "chess.yaml:2: tasks.0.name is missing"),
        ("seeds: none.jsonl", "chess.yaml:2: seeds: there is no file {folder}/none.jsonl"),
        ("seeds:\n  - {instruction: x}", "chess.yaml:3: seeds.0.output is missing"),
        (
            "tasks: [{name: Openings}]\nseeds: [{instruction: a, output: b, task: Opening}]",
            "chess.yaml:3: seed 1 belongs to the task 'Opening', which is not in the file; did you mean 'Openings'?"
            " (known: Openings)",
        ),
        ("root: {name: x}", "chess.yaml:2: the key 'root' stands here and in line 1; keep one"),
        ("a: [", "chess.yaml:3: not valid YAML: expected the node content, but found '<stream end>'"),
        (
            "extends: mth",
            "chess.yaml:2: extends: 'mth' is neither a shipped domain nor a file; did you mean 'math'?"
            " (known: brainstorming, code, math, math-zh, rewriting)",
        ),
        ("extends: base.yaml", "chess.yaml:2: extends: there is no domain file base.yaml"),
        ("extends: 3", "chess.yaml:2: extends takes a shipped domain or a file, not 3"),
        ("extends: chess.yaml", "chess.yaml: extends itself: chess.yaml -> chess.yaml"),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_what_would_be_right(wrong, text, expected):
    assert wrong(MINIMAL + text + "\n") == [expected.replace("{folder}", str(Path.cwd()))]


def test_everything_wrong_in_a_file_is_said_at_once_in_the_order_of_its_lines(wrong):
    text = "rot: {name: x}\nexplore: {depth: -1, width: 3}\nverify: {votes: many}\n"
    assert [line.split(" ")[0] + " " + line.split(" ")[1] for line in wrong(text)] == [
        "chess.yaml:1: root",
        "chess.yaml:1: rot",
        "chess.yaml:2: explore.depth",
        "chess.yaml:3: verify.votes",
    ]


@pytest.mark.parametrize("text", ["", "- root\n", "just text\n"])
def test_a_file_without_keys_is_told_which_keys_there_are(wrong, text):
    assert wrong(text)[0].startswith("chess.yaml:1: a domain file has keys, e.g. 'root:' (known: name, language, root,")


def test_a_recursive_anchor_is_an_error_and_not_a_crash(wrong):
    assert wrong(MINIMAL + "a: &a [*a]\n")[0].startswith("chess.yaml: not valid YAML: ")


def test_a_file_that_is_not_text_is_an_error(tmp_path):
    (tmp_path / "chess.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"chess\.yaml: cannot be read: 'utf-8' codec"):
        load_domain(tmp_path / "chess.yaml")


def test_every_wrong_seed_row_is_named_by_file_and_line(wrong):
    rows = [
        '{"instruction": "a", "output": "b"}',
        '{"instruction": "a"',
        "",
        '{"instrction": "a", "output": ""}',
        "[1]",
        '{"instruction": "a", "output": 3}',
    ]
    place = f"{Path.cwd()}/s.jsonl"
    assert wrong(MINIMAL + "seeds: s.jsonl\n", s="\n".join(rows)) == [
        f"{place}:2: not valid JSON: Expecting ',' delimiter (column 20)",
        f"{place}:4: instruction is missing",
        f"{place}:4: output must be text that is not empty, not ''",
        f"{place}:4: instrction is not a key of a seed; did you mean 'instruction'?"
        " (known: instruction, input, output, task)",
        f"{place}:5: a seed must be an object with instruction and output, not [1]",
        f"{place}:6: output must be text (in quotes), not 3",
    ]


def test_a_phrase_is_an_unknown_domain_and_a_missing_path_is_a_mistake():
    with pytest.raises(UnknownDomain) as error:
        load_domain("maths")
    assert str(error.value).startswith("'maths' is neither a shipped domain nor a file; did you mean 'math'? (known: ")
    with pytest.raises(ConfigError) as missing:
        load_domain("nowhere/chess.yaml")
    assert type(missing.value) is ConfigError
    assert str(missing.value) == "there is no domain file nowhere/chess.yaml"


def test_the_path_of_a_folder_is_no_phrase_that_a_draft_is_paid_for(tmp_path):
    folder = tmp_path / "tenancy-law"
    folder.mkdir()
    with pytest.raises(ConfigError, match="is a folder and no domain file; give the path of a") as error:
        load_domain(str(folder))
    assert type(error.value) is ConfigError
    (folder / "domain.yaml").write_text("root: {name: Advise}", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"its domain file is .*tenancy-law/domain\.yaml"):
        load_domain(str(folder))
    with pytest.raises(UnknownDomain):
        load_domain("TCP/IP networking")


def test_extending_overrides_keys_and_keeps_what_lies_beside_them(tmp_path):
    base = load_domain("math")
    domain = load(
        tmp_path,
        "extends: math\nrules: {instruction: {max_chars: 50}}\nmodels: {teacher: {spec: 'openai:m'}}\n"
        "rouge: null\njudge: {min_score: 3}\n",
        "mine.yaml",
    )
    assert (domain.name, domain.root) == ("mine", base.root)
    assert domain.rules.instruction == base.rules.instruction.model_copy(update={"max_chars": 50})
    assert domain.rules.response == base.rules.response
    assert (domain.models["teacher"].spec, domain.rouge, domain.seeds) == ("openai:m", None, base.seeds)
    assert (domain.judge.rubric, domain.judge.min_score) == (base.rubric, 3)
    assert load(tmp_path, "extends: mine.yaml\nseeds: null\n", "own.yaml").seed_examples() == []


def test_an_inherited_value_that_no_longer_fits_names_both_files(wrong):
    assert wrong("extends: math\nexplore: {depth: 3}\n") == [
        "domains/math.yaml:28 (extended by chess.yaml): explore.width: [8, 6] has 2 numbers, depth is 3;"
        " give 3, or one for all"
    ]


def test_width_is_one_number_for_all_depths_or_one_each(tmp_path):
    assert load(tmp_path, MINIMAL + "explore: {depth: 3, width: 5}\n").explore.width == (5, 5, 5)
    assert load(tmp_path, MINIMAL + "explore: {depth: 0}\n").explore.width == ()


def test_chinese_gets_the_encoder_that_reads_it_unless_one_is_named(tmp_path):
    chinese = MINIMAL + "language: zh\n"
    assert load(tmp_path, chinese).dedup.embedder == "chargrams"
    assert load(tmp_path, chinese + "dedup: {embedder: minilm}\n").dedup.embedder == "minilm"
    assert load(tmp_path, chinese + "dedup: null\n").dedup is None


def test_seeds_lie_beside_the_file_that_names_them(tmp_path, monkeypatch):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "s.jsonl").write_text('{"instruction": "a", "output": "b", "task": "openings"}\n')
    monkeypatch.chdir(tmp_path)
    domain = load(folder, MINIMAL + "tasks: [{name: Openings}]\nseeds: s.jsonl\n")
    assert domain.seed_examples() == [{"instruction": "a", "input": "", "output": "b", "task": "Openings"}]


def test_max_chars_is_the_longest_that_any_text_may_be(tmp_path):
    assert (
        load(tmp_path, MINIMAL + "rules: {instruction: {max_chars: 90}, response: {max_chars: 200}}\n").max_chars == 200
    )


@pytest.mark.parametrize("name", ["math", "rewriting", "brainstorming", "code", "math-zh"])
def test_a_written_domain_is_read_back_as_it_was(tmp_path, name):
    domain = load_domain(name)
    write_domain(domain, tmp_path / "copy.yaml")
    assert load_domain(tmp_path / "copy.yaml") == domain


TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@settings(max_examples=50, deadline=None)
@given(TEXT, TEXT.filter(str.strip))
def test_any_text_survives_in_a_written_domain(guidance, name):
    domain = Domain.general(
        "x", name, guidance=guidance, seeds=[{"instruction": name, "output": name, "input": guidance}]
    )
    with tempfile.TemporaryDirectory() as folder:
        write_domain(domain, Path(folder) / "x.yaml")
        assert load_domain(Path(folder) / "x.yaml") == domain


def test_a_drafted_domain_is_written_and_read_back_with_its_seeds_in_the_file(tmp_path):
    seeds = [{"instruction": f"Ask {n}\nand more", "input": "", "output": r"\boxed{1}"} for n in range(2)]
    draft = {
        "name": "../../evil",
        "root": "Advise tenants",
        "description": "What tenants ask.",
        "tasks": [{"name": "Rent", "description": "r"}, {"name": "rent.", "description": "again"}],
        "guidance": "- one\n- two",
        "rubric": "5: good",
        "seeds": seeds,
        "verify": "none",
    }
    domain = domain_from_draft(draft, "Tenancy law, 2nd edition!")
    assert (domain.name, domain.root.name, domain.root.description) == (
        "tenancy-law-2nd-edition",
        "Advise tenants",
        "What tenants ask.",
    )
    assert [(task.name, task.description) for task in domain.tasks] == [("Rent", "r")]
    assert domain.seed_examples() == seeds
    assert (domain.rules.instruction.min_words, domain.judge) == (3, None)
    write_domain(domain, tmp_path / "domain.yaml")
    assert load_domain(tmp_path / "domain.yaml") == domain
    assert "guidance: |-\n  - one\n  - two\n" in (tmp_path / "domain.yaml").read_text()
    with pytest.raises(ConfigError, match=r"the draft of 'x': root\.name must be text that is not empty, not ' '"):
        domain_from_draft({**draft, "root": " "}, "x")


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(RunError, match=r"nowhere"):
        write_domain(load_domain("math"), tmp_path / "nowhere" / "domain.yaml")


def test_check_names_a_seed_that_repeats_another(tmp_path):
    row = {"instruction": "Which move?", "output": "e4"}
    rows = [row, {**row, "input": "white"}, {**row, "instruction": "which move"}]
    domain = load(tmp_path, MINIMAL + f"seeds: {json.dumps(rows)}\n")
    assert check_domain(domain) == ["chess: seed 3 repeats seed 1; keep one"]


def test_a_seeds_file_that_is_not_text_is_named(wrong):
    Path("s.jsonl").write_bytes(b"\xff")
    assert wrong(MINIMAL + "seeds: s.jsonl\n") == [f"chess.yaml:2: seeds: cannot be read: {Path.cwd()}/s.jsonl"]


def test_a_phrase_with_a_slash_is_a_phrase():
    with pytest.raises(UnknownDomain, match="'TCP/IP networking' is neither a shipped domain nor a file"):
        load_domain("TCP/IP networking")
