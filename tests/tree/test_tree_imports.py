"""Trees that come along: each form is read, and what is wrong in it is named with its line."""

from __future__ import annotations

import json

import pytest

from curate.errors import InputError
from curate.tree import TaskTree, import_tree
from curate.tree.draw import outline


def nested(tree, start=None):
    """The tree as {name: {name: ...}}."""
    task = start or tree.root
    return {task.name: {name: below for child in tree.children(task.id) for name, below in nested(tree, child).items()}}


def read(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return import_tree(path)


LAW = {"Law": {"Tenancy": {"Deposits": {}, "Notice": {}}, "Contracts": {}}}


def test_the_reference_layout(shared_data):
    folder = shared_data / "explore_instruct_demo"
    tree, warnings = import_tree(folder)
    assert tree.root.name == "Assistance for text editting"
    assert {task.name: len(task.examples) for task in tree.walk()} == {
        "Assistance for text editting": 2,
        "Paraphrase": 512,
        "Style transfer": 512,
        "Simplify language": 612,
        "Text expansion": 0,
        "Fix spelling and grammar": 512,
        "Language style simulation": 0,
        "Coherence and cohesion improvement": 512,
        "Writing enhancement": 0,
    }
    assert len(tree.examples) == 2662
    assert warnings == [
        f"{folder / file}: no such file; the task '{name}' comes without examples"
        for file, name in (
            ("text_expansion.json", "Text expansion"),
            ("language_style_simulation.json", "Language style simulation"),
            ("writing_enhancement.json", "Writing enhancement"),
        )
    ]
    assert tree.named("Paraphrase").description.startswith("The purposes of paraphrasing are to show understanding")
    first = tree.examples[tree.root.examples[0]]
    assert first["instruction"] == "Rewrite this text in another way"
    assert import_tree(folder / "tree_meta_info.json")[0].summary() == tree.summary()


@pytest.mark.parametrize(
    ("meta", "node", "message"),
    [
        ('{\n"raw_task_name": ', "{}", r"tree_meta_info\.json:2: not JSON"),
        ('{"children": []}', "{}", r"tree_meta_info\.json: .* is not a task; expected raw_task_name, reason and child"),
        ('{"raw_task_name": "A", "children": {}}', "{}", "is not a task; expected raw_task_name"),
        ('{"raw_task_name": "A", "config_filename": "../a.json"}', "{}", "'../a.json'; it must lie in the same folder"),
        ('{"raw_task_name": "A", "task_name": "a"}', '{"examples": \n[}', r"a\.json:2: not a task's JSON object"),
        ('{"raw_task_name": "A", "task_name": "a"}', '{"examples": 3}', r"a\.json: example 1 must be an object with"),
        ('{"raw_task_name": "A", "task_name": "a"}', '{"examples": [{}, 3]}', r"a\.json: example 2 must be an object"),
        ('{"raw_task_name": "A", "task_name": "a"}', '{"examples": [{}]}', r"a\.json: an example's instruction is ''"),
        ('{"raw_task_name": "--"}', "{}", "'--' is not a task name"),
    ],
)
def test_a_wrong_reference_layout(meta, node, message, tmp_path):
    (tmp_path / "tree_meta_info.json").write_text(meta, encoding="utf-8")
    (tmp_path / "a.json").write_text(node, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        import_tree(tmp_path)


def test_tree_json(tmp_path):
    tree = TaskTree("Law", "all", [{"instruction": "i", "output": "o"}])
    tree.save(tmp_path / "tree.json")
    tree.save(tmp_path / "other.json")
    for path in (tmp_path, tmp_path / "tree.json", tmp_path / "other.json"):
        loaded, warnings = import_tree(path)
        assert (loaded.root, loaded.examples, warnings) == (tree.root, tree.examples, [])


@pytest.mark.parametrize(
    "text",
    [
        "name: Law\ntasks:\n- name: Tenancy\n  children: [Deposits, Notice]\n- Contracts\n",
        "Law:\n  Tenancy: [Deposits, Notice]\n  Contracts:\n",
        "Law:\n- Tenancy:\n  - Deposits\n  - Notice\n- Contracts\n",
        "Law:\n  Tenancy:\n    Deposits:\n    Notice: null\n  Contracts: []\n",
        "- Law:\n    tasks:\n      Tenancy: {tasks: [{name: Deposits}, Notice]}\n      Contracts: {children: }\n",
        '{"name": "Law", "tasks": [{"name": "Tenancy", "tasks": ["Deposits", "Notice"]}, {"name": "Contracts"}]}',
    ],
)
def test_outlines(text, tmp_path):
    tree, warnings = read(tmp_path, "law.yaml", text)
    assert nested(tree) == LAW
    assert warnings == []


def test_what_an_outline_says_of_a_task(tmp_path):
    text = """\
name: Law
description: Everyday help
examples:
- {instruction: Hello?, output: Yes.}
tasks:
- Tenancy: renting a home
- Contracts: {description: promises, examples: [{instruction: a, input: b, output: c}]}
"""
    tree, _ = read(tmp_path, "law.yml", text)
    assert [task.description for task in tree.walk()] == ["Everyday help", "renting a home", "promises"]
    assert [tuple(example.values()) for example in tree.examples.values()] == [("Hello?", "", "Yes."), ("a", "b", "c")]
    assert outline(tree) == {
        "name": "Law",
        "description": "Everyday help",
        "tasks": [
            {"name": "Tenancy", "description": "renting a home"},
            {"name": "Contracts", "description": "promises"},
        ],
    }


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("Law:\n- Tenancy\n- 2024\n", 3, "'2024' is read as int; put it in quotes"),
        ("Law:\n- yes\n", 2, "'yes' is read as bool; put it in quotes"),
        ("Law:\n-\n", 2, "'' is read as null; put it in quotes"),
        ("name: Law\nchilds: [a]\n", 2, "a task has no field 'childs'; it takes name, description, tasks, children"),
        ("Law:\n- [a, b]\n", 2, "a list stands where a task should; write a task as its name, as 'name: [sub-tasks]'"),
        ("Law:\n- a: x\n  b: y\n", 2, "one entry of a list holds several names (a, b); give each its own '-'"),
        ("Law:\n  - a\n - b\n", 3, "not YAML: "),
        ("a: &x\n- b: *x\n", 1, "anchors are not read in an outline"),
        ("a: &x [b]\nc: *x\n", 1, "anchors are not read in an outline"),
        ("name: [a]\n", 1, "expected text here"),
        ("name: Law\nexamples: [a]\n", 2, "an example is a mapping with instruction, input and output"),
        ("name: Law\ntasks:\n- name: '...'\n", 3, "'...' is not a task name"),
        ("name: Law\ntasks:\n- description: nameless\n", 3, "'' is not a task name"),
        ("? [a]\n: b\n", 1, "expected text here"),
        ("a: [b\n", 2, "not YAML: "),
        ("[" * 200_000, 1, "nested too deep; a tree has at most 100 levels"),
        ("a: " + "{a: " * 101 + "b" + "}" * 101, 1, "nested too deep; a tree has at most 100 levels"),
        ("", None, "no task is in this file"),
        ("[]", None, "no task is in this file"),
    ],
)
def test_wrong_outlines(text, line, message, tmp_path):
    with pytest.raises(InputError) as error:
        read(tmp_path, "law.yaml", text)
    assert str(error.value).startswith(f"{tmp_path / 'law.yaml'}:{line}: " if line else f"{tmp_path / 'law.yaml'}: ")
    assert message in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "Law\n  Tenancy\n    Deposits\n    Notice\n  Contracts\n",
        "Law\n\tTenancy\n\t\tDeposits\n\t\tNotice\n\n\tContracts\n",
        "- Law\n  * Tenancy\n    + Deposits\n    • Notice\n  - Contracts\n",
        "Law:\n- Tenancy:\n  - Deposits\n  - Notice\n- Contracts\n",
        "1. Law\n   1. Tenancy\n      1) Deposits\n      (2) Notice\n   2. Contracts\n",
        "Law\n1. Tenancy\n1.1 Deposits\n1.2. Notice\n2. Contracts\n",
        "# Law\n\n## Tenancy\n- Deposits\n- Notice\n\n## Contracts\n",
        "# Law\n- Tenancy\n    - **Deposits**\n    - Notice\n- Contracts\n",
        "   Law\n      Tenancy\n            Deposits\n            Notice\n      Contracts\n",
        "\ufeffLaw\r\n  Tenancy\r\n    Deposits\r\n    Notice\r\n  Contracts\r\n",
    ],
)
def test_indented_lists(text, tmp_path):
    tree, warnings = read(tmp_path, "law.txt", text)
    assert nested(tree) == LAW
    assert warnings == []


def test_what_a_line_says_of_a_task(tmp_path):
    text = """\
法律：日常
- Tenancy: renting: a home
- Contracts - promises - and more
- **Wills** – last ones
- x-axis ratio 1:2
- 3D printing law
- A* search, C# and `code`
"""
    tree, _ = read(tmp_path, "law.md", text)
    assert [(task.name, task.description) for task in tree.walk()] == [
        ("法律", "日常"),
        ("Tenancy", "renting: a home"),
        ("Contracts", "promises - and more"),
        ("Wills", "last ones"),
        ("x-axis ratio 1:2", ""),
        ("3D printing law", ""),
        ("A* search, C# and `code`", ""),
    ]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("Law\n    Tenancy\n  Contracts\n", 3, "indented by 2 columns (a tab is 4), which continues no line above"),
        ("Law\n    Tenancy\n  Contracts\n", 3, "; indent by 0 or 4 columns"),
        (
            "  Law\nTenancy\n",
            2,
            "indented by 0 columns (a tab is 4), which continues no line above; indent by 2 columns",
        ),
        ("Law\n  ---\n", 2, "'---' is not a task name"),
        ("Law\n  - : why\n", 2, "'' is not a task name"),
        ("Law\n  " + "long " * 50, 2, "has 249 characters; 200 is the longest"),
        ("\n \n", None, "no task is in this file; write one per line, sub-tasks indented"),
    ],
)
def test_wrong_lists(text, line, message, tmp_path):
    with pytest.raises(InputError) as error:
        read(tmp_path, "law.txt", text)
    assert str(error.value).startswith(f"{tmp_path / 'law.txt'}:{line}: " if line else f"{tmp_path / 'law.txt'}: ")
    assert message in str(error.value)


def test_several_tasks_at_the_top(tmp_path):
    tree, warnings = read(tmp_path, "law.txt", "Tenancy\n  Deposits\nContracts\n")
    assert nested(tree) == {"law": {"Tenancy": {"Deposits": {}}, "Contracts": {}}}
    assert warnings == [
        f"{tmp_path / 'law.txt'}: several tasks stand at the top; the root is called 'law', after the file"
    ]
    assert nested(read(tmp_path, "law.yaml", "Tenancy: [Deposits]\nContracts:\n")[0]) == nested(tree)


def test_equal_names_join(tmp_path):
    tree, warnings = read(tmp_path, "law.txt", "Law\n  Tenancy\n    Notice\n  Contracts\n    notice.\n      Periods\n")
    assert nested(tree) == {"Law": {"Tenancy": {"Notice": {"Periods": {}}}, "Contracts": {}}}
    assert warnings == [
        f"{tmp_path / 'law.txt'}:5: 'notice.' is the same task as 'Law > Tenancy > Notice' and joins it"
    ]
    assert [merge["path"] for merge in tree.merges] == [["Law", "Contracts", "notice."]]


def test_no_tree_there(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.yaml: no such file; a tree can be a folder with tree\.json or"):
        import_tree(tmp_path / "nothing.yaml")
    with pytest.raises(InputError, match=r"neither tree\.json nor tree_meta_info\.json is in this folder"):
        import_tree(tmp_path)
    with pytest.raises(InputError, match=r"'\.docx' is not a known form of a tree; it can be a folder with"):
        read(tmp_path, "law.docx", "Law")
    (tmp_path / "law.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"law\.txt: not UTF-8 text"):
        import_tree(tmp_path / "law.txt")


def test_wrong_json_is_told_by_its_line(tmp_path):
    with pytest.raises(InputError, match=r"law\.json:2: "):
        read(tmp_path, "law.json", '{"name": "Law",\n"tasks": [3]}')
    with pytest.raises(InputError, match=r"tree\.json:2: version 7 of a task tree"):
        read(tmp_path, "tree.json", json.dumps({"version": 7, "tasks": []}, indent=0))
