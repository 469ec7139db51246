from __future__ import annotations

from pathlib import Path

import pytest

from curate.errors import ConfigError, InputError
from curate.train.data.sources import Source, parse_sources


def test_files_with_and_without_weights(tmp_path: Path) -> None:
    odd = tmp_path / "odd:0.5"
    odd.touch()
    assert parse_sources(["a.jsonl", "user/name"]) == (Source("a.jsonl"), Source("user/name"))
    assert parse_sources(["a.jsonl:0.7", "b.jsonl:3"]) == (Source("a.jsonl", 0.7), Source("b.jsonl", 3.0))
    assert parse_sources([str(odd)]) == (Source(str(odd)),)
    given = {"instruction": "q"}
    assert parse_sources(["a.jsonl"], given) == (Source("a.jsonl", fields=given),)
    assert parse_sources(["a:b.jsonl"]) == (Source("a:b.jsonl"),)


def test_a_list_in_yaml(tmp_path: Path) -> None:
    (tmp_path / "math.jsonl").touch()
    file = tmp_path / "mix.yaml"
    file.write_text(
        "- {path: math.jsonl, weight: 0.7}\n- path: user/name\n  weight: 1\n  split: test\n  fields: {instruction: q}\n"
    )
    assert parse_sources([str(file)]) == (
        Source(str(tmp_path / "math.jsonl"), 0.7),
        Source("user/name", 1.0, "test", {"instruction": "q"}),
    )
    file.write_text("- math.jsonl\n")
    assert parse_sources([str(file), "b"]) == (Source(str(tmp_path / "math.jsonl")), Source("b"))


@pytest.mark.parametrize(
    ("texts", "complaint"),
    [
        ([], "there is no dataset to train on"),
        (["a:0"], "a:0: the weight of a dataset is a number above 0, not 0"),
        (["a:-1"], "a:-1: the weight of a dataset is a number above 0, not -1"),
        (["a:nan"], "a:nan: the weight of a dataset is a number above 0, not nan"),
        (["a", "b:1"], "a: this dataset has no weight and others have one; weights are for all or none"),
        (["a", "a"], "a: this dataset is named twice; give it one weight instead"),
    ],
)
def test_what_cannot_be(texts: list[str], complaint: str) -> None:
    with pytest.raises(InputError) as error:
        parse_sources(texts)
    assert str(error.value) == complaint


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "- a\n- {path: b, wieght: 1}\n",
            ":2: wieght is not a key here; did you mean 'weight'? (known: path, weight, split, fields)",
        ),
        ("- a\n- {weight: 1}\n", ":2: expected the path of a dataset, as in"),
        ("- {path: b, weight: many}\n", ":1: weight must be a number, not 'many'"),
        ("- {path: b, weight: true}\n", ":1: weight must be a number, not True"),
        ("- {path: b, weight: 0}\n", ":1: the weight of a dataset is a number above 0, not 0"),
        ("- {path: b, split: 3}\n", ":1: split must be text, not 3"),
        ("- {path: b, fields: {question: q}}\n", ":1: fields names columns for instruction, input, response, system"),
        ("path: b\n", ":1: expected a list of datasets"),
        ("[]\n", ":1: expected a list of datasets"),
        ("- a\n- {b\n", ":3: not valid YAML: "),
    ],
)
def test_wrong_yaml(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "mix.yaml"
    file.write_text(text)
    with pytest.raises(InputError) as error:
        parse_sources([str(file)])
    assert str(error.value).startswith(f"{file}{complaint}")


def test_a_yaml_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read"):
        parse_sources(["none.yaml"])


def test_patterns_of_files(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl", "c.txt"):
        (tmp_path / name).touch()
    assert Source(f"{tmp_path}/*.jsonl").files == [str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")]
    assert Source("user/name").files == ["user/name"]
    with pytest.raises(InputError, match=r"\*\.parquet: no file has such a name"):
        _ = Source(f"{tmp_path}/*.parquet").files
