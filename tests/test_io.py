from __future__ import annotations

import csv
import gzip
import json
import os
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from curate.errors import InputError
from curate.io import read_samples, resource, sample_to_row, write_jsonl
from curate.text import content_id
from curate.types import Sample

USER = {"role": "user", "content": "Add 1 and 2."}
REPLY = {"role": "assistant", "content": "3"}
SYSTEM = {"role": "system", "content": "Be brief."}

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def put(path: Path, *rows: dict) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("row", "messages", "source"),
    [
        ({"messages": [SYSTEM, USER, REPLY], "lang": "en"}, [SYSTEM, USER, REPLY], {"lang": "en"}),
        ({"prompt": "Add 1 and 2.", "completion": "3", "id": 7}, [USER, REPLY], {"id": 7}),
        ({"prompt": [SYSTEM, USER], "completion": [REPLY]}, [SYSTEM, USER, REPLY], {}),
        ({"instruction": "Add 1 and 2.", "input": "", "output": "3"}, [USER, REPLY], {}),
        (
            {"instruction": "Add.", "input": "1, 2", "output": "3", "system": "Be brief."},
            [SYSTEM, {"role": "user", "content": "Add.\n\n1, 2"}, REPLY],
            {"instruction": "Add.", "input": "1, 2"},
        ),
        (
            {"instruction": "Add 1 and 2.", "output": "3", "history": [["Hi", "Hello"]]},
            [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}, USER, REPLY],
            {},
        ),
        (
            {
                "conversations": [{"from": "human", "value": "Add 1 and 2."}, {"from": "gpt", "value": "3"}],
                "system": "Be brief.",
            },
            [SYSTEM, USER, REPLY],
            {},
        ),
        ({"prompt": "Add 1 and 2.", "chosen": "3", "rejected": "4"}, [USER, REPLY], {"rejected": "4"}),
        ({"chosen": [USER, REPLY], "rejected": [USER]}, [USER, REPLY], {"rejected": [USER]}),
        ({"prompt": [USER], "chosen": [USER, REPLY]}, [USER, REPLY], {}),
        ({"question": "Add 1 and 2.", "answer": "3", "level": None}, [USER, REPLY], {}),
        (
            {"instruction": "Add 1 and 2.", "response": "3", "context": "", "category": "qa"},
            [USER, REPLY],
            {"category": "qa"},
        ),
    ],
)
def test_the_known_formats(tmp_path, row, messages, source):
    [sample] = read_samples(put(tmp_path / "a.jsonl", row))
    assert list(sample.messages) == messages
    assert sample.meta.get("source", {}) == source
    assert (sample.id, sample.task) == (content_id(messages), ())


def test_a_seed_task_gives_one_sample_per_instance(tmp_path):
    row = {
        "name": "sum",
        "instruction": "Add.",
        "instances": [{"input": "1, 2", "output": "3"}, {"input": "", "output": "?"}],
    }
    first, second = read_samples(put(tmp_path / "a.jsonl", row))
    assert (first.instruction, first.response) == ("Add.\n\n1, 2", "3")
    assert (second.instruction, second.response) == ("Add.", "?")
    assert first.meta["source"] == {"name": "sum", "instruction": "Add.", "input": "1, 2"}


def test_named_fields_win_over_columns_of_the_same_name(tmp_path):
    row = {"problem": "Add 1 and 2.", "solution": "3", "output": "stdout", "messages": None}
    [sample] = read_samples(put(tmp_path / "a.jsonl", row), fields={"instruction": "problem", "response": "solution"})
    assert list(sample.messages) == [USER, REPLY]
    assert sample.meta["source"] == {"original_output": "stdout"}


def test_a_named_column_of_messages(tmp_path):
    row = {"dialog": [USER, REPLY], "prompt": "left alone"}
    [sample] = read_samples(put(tmp_path / "a.jsonl", row), fields={"messages": "dialog"})
    assert (list(sample.messages), sample.meta) == ([USER, REPLY], {"source": {"prompt": "left alone"}})


def test_an_own_row_keeps_its_id_task_and_meta(tmp_path):
    sample = Sample("0123456789abcdef", (USER, REPLY), ("math", "sums"), {"rouge": {"score": 0.2}, "source": {"a": 1}})
    write_jsonl(tmp_path / "a.jsonl", [{**sample_to_row(sample), "extra": "b"}])
    [back] = read_samples(tmp_path / "a.jsonl")
    assert back == Sample(sample.id, sample.messages, sample.task, {**sample.meta, "source": {"extra": "b", "a": 1}})


def test_reasoning_of_the_last_message_is_kept(tmp_path):
    row = {"messages": [USER, {**REPLY, "reasoning_content": "1 + 2 = 3"}]}
    [sample] = read_samples(put(tmp_path / "a.jsonl", row))
    assert (sample.messages, sample.meta) == ((USER, REPLY), {"reasoning": "1 + 2 = 3"})


def test_plain_documents_are_read_where_they_are_wanted(tmp_path):
    path = put(tmp_path / "a.jsonl", {"text": "red </s>\n", "url": "u"}, {"text": ""})
    first, second = read_samples(path, documents=True)
    assert first.messages == ({"role": "assistant", "content": "red </s>\n"},)
    assert (first.id, first.meta) == (content_id(first.messages), {"source": {"url": "u"}})
    assert (second.response, second.instruction) == ("", "")
    with pytest.raises(
        InputError, match=r"a.jsonl:1: .* fields text, url \(plain documents are for curate train sft, "
    ):
        list(read_samples(path))
    [named] = read_samples(
        put(tmp_path / "b.jsonl", {"body": "red", "text": 1}), fields={"text": "body"}, documents=True
    )
    assert (named.response, named.meta) == ("red", {"source": {"original_text": 1}})
    # A text beside a conversation is not what is to be learnt.
    [talk] = read_samples(put(tmp_path / "c.jsonl", {"prompt": "a", "completion": "b", "text": "a b"}), documents=True)
    assert (talk.messages[-1]["content"], talk.meta) == ("b", {"source": {"text": "a b"}})


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"text": 5}], ":1: expected text in the field 'text', found int (the file's format is text)"),
        ([{"text": None}], ":1: expected text in the field 'text', found nothing (the file's format is text)"),
        ([{"text": ["a"]}], ":1: expected text in the field 'text', found list"),
        (
            [{"text": "a"}, {"messages": [USER, REPLY]}],
            ":2: expected text in the field 'text', found nothing (the file's format is text; documents and "
            "conversations go into files of their own)",
        ),
        (
            [{"messages": [USER, REPLY]}, {"text": "a"}],
            ":2: expected a list of messages in the field 'messages', found nothing (the file's format is messages; "
            "documents and conversations go into files of their own)",
        ),
    ],
)
def test_a_row_that_is_no_document_is_named(tmp_path, rows, message):
    path = put(tmp_path / "rows.jsonl", *rows)
    with pytest.raises(InputError) as error:
        list(read_samples(path, documents=True))
    assert str(error.value).startswith(f"{path}{message}")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ['{"prompt": "a", "completion": "b"}', '{"prompt": "a"}'],
            ":2: expected a list of messages in the field 'completion', found nothing",
        ),
        (['{"prompt": "a", "completion": "b"}', '{"prompt": "a", "comp'], ":2: the last line is cut off"),
        (['{"prompt": "a", "comp', '{"prompt": "a", "completion": "b"}'], ":1: not JSON"),
        (["[1, 2]"], ":1: expected an object"),
        (['{"text": "a"}'], ":1: no known format has the fields text"),
        (['{"messages": [{"role": "tool", "content": "x"}]}'], ":1: 'messages' has a message from 'tool'"),
        (['{"messages": [{"role": "assistant", "content": "x"}]}'], ":1: expected at least one message from the user"),
        (
            ['{"messages": [{"role": "user", "content": null}]}'],
            ":1: expected text in the field 'content', found nothing",
        ),
        (['{"messages": [{"role": ["user"], "content": "x"}]}'], ":1: 'messages' has a message from ['user']"),
        (['{"messages": "hello"}'], ":1: expected a list of messages in the field 'messages', found str"),
        (
            ['{"instruction": "a", "output": "b", "history": [["x"]]}'],
            ":1: expected pairs of text in the field 'history'",
        ),
        (
            ['{"instruction": "a", "output": "b", "history": 5}'],
            ":1: expected a list of pairs in the field 'history', found int",
        ),
        (['{"messages": []}'], ":1: expected a list of messages in the field 'messages', found an empty one"),
        (['{"messages": ' + "[" * 100_000], ":1: lists or objects too deep in each other"),
        (['{"instruction": "a", "instances": ["b"]}'], ":1: expected a list of {input, output}"),
    ],
)
def test_a_wrong_row_is_named(tmp_path, lines, message):
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(lines))
    with pytest.raises(InputError) as error:
        list(read_samples(path))
    assert str(error.value).startswith(f"{path}{message}")


def test_rows_before_a_corrupt_last_line_are_read_first(tmp_path):
    path = put(tmp_path / "a.jsonl", {"prompt": "a", "completion": "b"})
    path.write_text(path.read_text() + '{"prom')
    samples = read_samples(path)
    assert next(samples).instruction == "a"
    with pytest.raises(InputError, match="delete that line"):
        next(samples)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("/nowhere/a.jsonl", "/nowhere/a.jsonl: there is no such file or folder"),
        ("a.jsonl", "a.jsonl: there is no such file or folder"),
    ],
)
def test_a_missing_file(source, message):
    with pytest.raises(InputError) as error:
        list(read_samples(source))
    assert str(error.value) == message


def test_wrong_names(tmp_path):
    path = put(tmp_path / "a.jsonl", {"q": "a"})
    with pytest.raises(InputError, match="no field is called 'answer'; a column can be named for instruction, input"):
        list(read_samples(path, fields={"answer": "q"}))
    with pytest.raises(InputError, match=r"a\.jsonl:1: there is no field 'a'; there are q$"):
        list(read_samples(path, fields={"instruction": "q", "response": "a"}))
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(InputError, match=r"files of the kind '\.txt' cannot be read"):
        list(read_samples(tmp_path / "a.txt"))
    with pytest.raises(InputError, match="this folder is no run directory"):
        list(read_samples(tmp_path))


ROWS = [{"prompt": f"Frage {i} ∑\n½", "completion": f"\\frac{{{i}}}{{2}}"} for i in range(3)]


def write_csv(path):
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, ["prompt", "completion"])
        writer.writeheader()
        writer.writerows(ROWS)


def write_zst(path):
    with pa.CompressedOutputStream(str(path), "zstd") as file:
        file.write("".join(json.dumps(row) + "\n" for row in ROWS).encode())


def write_saved(path):
    import datasets

    datasets.DatasetDict({"train": datasets.Dataset.from_list(ROWS)}).save_to_disk(str(path))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.jsonl", lambda path: put(path, *ROWS)),
        ("a.json", lambda path: path.write_text(json.dumps(ROWS))),
        ("b.json", lambda path: put(path, *ROWS)),
        ("c.json", lambda path: path.write_text(json.dumps({"data": ROWS}))),
        (
            "a.jsonl.gz",
            lambda path: path.write_bytes(gzip.compress("".join(json.dumps(r) + "\n" for r in ROWS).encode())),
        ),
        ("a.jsonl.zst", write_zst),
        ("a.parquet", lambda path: pq.write_table(pa.Table.from_pylist(ROWS), path, row_group_size=2)),
        ("a.csv", write_csv),
        ("run/dataset/train.jsonl", lambda path: put(path, *ROWS)),
        ("saved", write_saved),
    ],
)
def test_every_kind_of_file_gives_the_same_samples(tmp_path, name, write):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path)
    samples = list(read_samples(tmp_path / "run" if name.startswith("run") else path))
    assert [(s.instruction, s.response) for s in samples] == [(r["prompt"], r["completion"]) for r in ROWS]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b'[{"prompt": "a"},\n {"prom', r"a\.json:2: not JSON"),
        ("a.json", b"[3]", r"a\.json: row 1: expected an object"),
        ("a.json", b"3", r"a\.json: expected a list of rows, found int"),
        ("a.json", b"[" * 100_000, r"a\.json: lists or objects too deep"),
        ("a.jsonl", b'{"prompt": "\xff"}', r"a\.jsonl:1: not UTF-8 text"),
        ("a.jsonl", b'{"prompt": "a", "completion": "b"}\n' * 2 + b'{"prompt": "\xff"}', r"a\.jsonl:3: not UTF-8 text"),
        (
            "a.jsonl.gz",
            gzip.compress(b'{"prompt": "a", "completion": "b"}\n' * 99, mtime=0)[:-9],
            r"a\.jsonl\.gz:\d+: the compressed file is cut off",
        ),
        ("a.parquet", b"PAR1 and no more", r"a\.parquet: not a whole Parquet file"),
        ("a.csv", b"prompt,completion\na,b,c\n", r"a\.csv:2: more cells than the header has columns"),
        ("a.csv", b'prompt,completion\na,"b\n', r"a\.csv:2: not CSV"),
    ],
)
def test_damaged_files(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        list(read_samples(tmp_path / name))


def test_values_json_cannot_hold_become_text(tmp_path):
    row = {"prompt": "a", "completion": "b", "day": date(2026, 11, 20), "score": float("nan"), "raw": b"\x01"}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "a.parquet")
    [sample] = read_samples(tmp_path / "a.parquet")
    assert sample.meta["source"] == {"day": "2026-11-20", "score": None, "raw": "01"}


def test_what_was_read_can_be_written_whatever_the_columns_held(tmp_path):
    row = {"prompt": "a", "completion": "b", "score": float("inf"), "spent": timedelta(seconds=90)}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "a.parquet")
    own = {"id": "0123456789abcdef", "task": [], "messages": [USER], "meta": {"s": float("-inf")}}
    (tmp_path / "b.jsonl").write_text(json.dumps(own))
    samples = [*read_samples(tmp_path / "a.parquet"), *read_samples(tmp_path / "b.jsonl")]
    assert write_jsonl(tmp_path / "out.jsonl", map(sample_to_row, samples)) == 2
    assert [sample.meta for sample in samples] == [{"source": {"score": None, "spent": "0:01:30"}}, {"s": None}]


def test_half_a_surrogate_pair_becomes_a_replacement_character(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"prompt": "\\ud83d x \\ud83d\\ude00", "completion": "b"}')
    assert next(read_samples(tmp_path / "a.jsonl")).instruction == "\ufffd x \U0001f600"


def test_a_name_is_streamed_from_the_hub(monkeypatch):
    import datasets

    asked = []

    def load_dataset(name, **options):
        asked.append((name, options))
        return iter([{"question": "1 + 2?", "answer": "3"}, {"question": "no answer"}])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    samples = read_samples("org/some.name-1", split="test")
    assert next(samples).instruction == "1 + 2?"
    assert asked == [("org/some.name-1", {"split": "test", "streaming": True})]
    with pytest.raises(InputError, match=r"^org/some\.name-1 \(test\): row 2: expected text in the field 'answer'"):
        next(samples)


def test_a_mistyped_path_is_not_sought_on_the_hub(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    monkeypatch.setattr("datasets.load_dataset", lambda *a, **k: pytest.fail("asked the Hub"))
    with pytest.raises(InputError, match=r"^runs/maht: there is no such file or folder$"):
        next(read_samples("runs/maht"))


def test_the_hub_without_a_network(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    code = (
        "from curate.io import read_samples\nfrom curate.errors import InputError\n"
        "try: list(read_samples('nobody/nothing'))\nexcept InputError as e: print(e)"
    )
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert done.stdout.startswith(
        "nobody/nothing: no file or folder of that name, and the Hub does not give such a dataset"
    )
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "count", "first"),
    [
        ("alpaca_en_demo.json", 999, "Describe a process of making crepes."),
        ("alpaca_zh_demo.json", 1000, "识别并解释给定列表中的两个科学理论：细胞理论和日心说。"),
        (
            "preference/dpo_en_demo.json",
            300,
            "Hi! I'd like to create a new language game",
        ),
        ("gsm8k/test.jsonl", 1319, "Janet’s ducks lay 16 eggs per day."),
        ("seed_tasks.jsonl", 175, "Is there anything I can eat for a breakfast that doesn't include eggs"),
        (
            "explore_instruct_demo/paraphrase.json",
            512,
            "Rewrite this description into another expression\n\nThe lake in the park",
        ),
        ("explore_instruct_demo", 2662, "Rewrite this text in another way\n\nPeople often think of cats"),
    ],
)
def test_real_files(shared_data, name, count, first):
    samples = list(read_samples(shared_data / name))
    assert len(samples) == count
    assert samples[0].instruction.startswith(first)
    assert all(sample.messages[-1]["role"] == "assistant" for sample in samples)


def test_shipped_folders():
    assert (resource("prompts").name, resource("domains").name) == ("prompts", "domains")
    with pytest.raises(Exception, match="the folder 'nothing' that ships with the package is missing"):
        resource("nothing")


def test_importing_loads_nothing_heavy():
    code = (
        "import sys, curate.io, curate.verify, curate.export;"
        "print(sorted({'pyarrow', 'datasets', 'sympy', 'math_verify', 'torch'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout == "[]\n"
