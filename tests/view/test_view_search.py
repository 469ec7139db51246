"""Searching, filtering, sorting and counting."""

from __future__ import annotations

import json

import pytest
from viewing import messages, row, write

from curate.errors import InputError
from curate.view.desk import Desk
from curate.view.index import spaced
from curate.view.search import Wish, match_of, terms_of


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A function that opens rows as a dataset."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = []

    def opened(kept, dropped=()):
        path = write(tmp_path / "data.jsonl", kept)
        if dropped:
            write(tmp_path / "data.dropped.jsonl", dropped)
        made.append(Desk(str(path), lambda done, total: None))
        return made[-1]

    yield opened
    for each in made:
        each.close()


def heads(desk, **wish):
    return [each["head"] for each in desk.store.search(Wish.of({"which": "all", **wish}))["rows"]]


def cause(stage, reason, score=None, neighbour=""):
    return {"stage": stage, "reason": reason, "score": score, "neighbour": neighbour}


def test_words_find_their_continuations_and_quoted_ones_themselves(desk):
    page = desk([row("Integrate the cosine."), row("An integral part."), row("Cosine first, then integrate.")])
    assert heads(page, q="integ") == ["Integrate the cosine.", "An integral part.", "Cosine first, then integrate."]
    assert heads(page, q='"integral"') == ["An integral part."]
    assert heads(page, q='"integrate the"') == ["Integrate the cosine."]
    assert heads(page, q="cosine integ") == ["Integrate the cosine.", "Cosine first, then integrate."]
    assert heads(page, q="absent") == []


def test_signs_are_no_operators(desk):
    page = desk([row("Solve x^2 + 1 = 0."), row('Say "NEAR" or NOT.')])
    assert heads(page, q="x^2") == ["Solve x^2 + 1 = 0."]
    assert heads(page, q="NEAR(") == ['Say "NEAR" or NOT.']
    assert heads(page, q="NOT") == ['Say "NEAR" or NOT.']
    assert heads(page, q='a" OR words:"') == []
    assert heads(page, q="+ * ( ^") == []


def test_chinese_is_found_by_any_part(desk):
    page = desk([row("求矩阵的行列式。"), row("解方程 x^2=1。")])
    assert heads(page, q="矩阵") == ["求矩阵的行列式。"]
    assert heads(page, q="行列式") == ["求矩阵的行列式。"]
    assert heads(page, q="列矩") == []
    assert heads(page, q="方程 x") == ["解方程 x^2=1。"]
    assert spaced("a矩阵b").split() == ["a", "矩", "阵", "b"]
    assert match_of(terms_of("行列式")) == '"行 列 式"'


def test_accents_case_and_half_pairs(desk):
    page = desk([row("Naïve CAFÉ."), row("A cut emoji \ud83d here.")])
    assert heads(page, q="naive cafe") == ["Naïve CAFÉ."]
    assert len(heads(page, q="emoji \ud83d")) == 1


def test_the_response_and_the_id_are_searched(desk):
    made = row("A question?", f"{'A long answer. ' * 30}The needle is here.")
    page = desk([row("Another?"), made])
    (head,) = heads(page, q="needle")
    assert head.startswith("…")
    assert "The needle is here." in head
    assert heads(page, q=made["id"]) == ["A question?"]


def test_orders(desk):
    kept = [
        row("One?", "long " * 50, dedup={"nearest": "x", "score": 0.2}, judge={"score": 3}),
        row("Two?", "mid " * 9, dedup={"nearest": "x", "score": 0.9}, judge={"score": 5}),
        row("Three?", judge={"unscored": True}),
    ]
    page = desk(kept)
    assert heads(page, order="near") == ["Two?", "One?", "Three?"]
    assert heads(page, order="novel") == ["One?", "Two?", "Three?"]
    assert heads(page, order="best") == ["Two?", "One?", "Three?"]
    assert heads(page, order="worst") == ["One?", "Two?", "Three?"]
    assert heads(page, order="long") == ["One?", "Two?", "Three?"]
    assert heads(page, order="short") == ["Three?", "Two?", "One?"]
    page.store.decide(3, "accept", "", None, "ada")
    page.store.decide(1, "accept", "", None, "ada")
    assert heads(page, order="decided") == ["One?", "Three?", "Two?"]


def test_counts_leave_out_what_they_would_choose(desk):
    a, b = ("Root", "A"), ("Root", "B")
    kept = [row("One cat?", task=a), row("Two cats?", task=b), row("A dog?", task=b)]
    left = [
        row("Third cat?", task=b, dropped=cause("rouge", "rouge", 0.8)),
        row("Bird?", task=a, dropped=cause("rules", "too_short")),
    ]
    page = desk(kept, left)
    page.store.decide(1, "reject", "dull", None, "ada")
    found = page.store.facets(Wish.of({"q": "cat", "which": "kept", "review": "open"}))
    names = {node.name: node.id for node in page.store.places.nodes.values()}
    assert found["tasks"] == {names["Root"]: 1, names["B"]: 1}
    assert found["reviews"] == {"open": 1, "accept": 0, "reject": 1, "edit": 0}
    assert found["which"] == {"kept": 1, "dropped": 1}
    assert page.store.facets(Wish.of({"which": "dropped", "stage": "rouge", "reason": "rouge"}))["causes"] == [
        ["rouge", "rouge", 1],
        ["rules", "too_short", 1],
    ]
    assert heads(page, task=names["B"], which="dropped") == ["Third cat?"]
    assert heads(page, stage="rules", reason="too_short") == ["Bird?"]
    assert heads(page, review="reject") == ["One cat?"]


def test_a_list_keeps_its_order_while_it_is_worked_through(desk):
    page = desk([row(f"Number {number}?") for number in range(5)])
    found = page.store.search(Wish.of({"review": "open"}))
    page.store.decide(2, "accept", "", None, "ada")
    again = page.store.page(found["view"], 0, 10)
    assert [each["head"] for each in again["rows"]] == [f"Number {number}?" for number in range(5)]
    assert again["rows"][1]["review"]["decision"] == "accept"
    assert page.store.search(Wish.of({"review": "open"}))["total"] == 4
    for _ in range(20):
        page.store.search(Wish())
    with pytest.raises(InputError, match="search again"):
        page.store.page(found["view"], 0, 10)


def test_an_edited_text_is_found_and_decisions_of_others_are_seen(desk, tmp_path):
    page = desk([row("The frist word."), row("Another.")])
    page.store.decide(1, "edit", "", messages("The first word."), "ada")
    assert heads(page, q="first") == ["The first word."]
    other = {"id": row("Another.")["id"], "decision": "reject", "reason": "dull", "author": "bob", "time": "T"}
    with (tmp_path / "data.reviews.jsonl").open("a") as file:
        file.write(json.dumps(other) + "\n")
    (brief,) = page.store.search(Wish.of({"review": "reject"}))["rows"]
    assert (brief["head"], brief["review"]["author"]) == ("Another.", "bob")


def test_an_edit_keeps_the_turns(desk):
    page = desk([row("A question?")])
    for wrong in (
        None,
        [],
        messages("x")[:1],
        messages(" "),
        [{"role": "user", "content": 3}] * 2,
        messages("x")[::-1],
    ):
        with pytest.raises(InputError):
            page.store.decide(1, "edit", "", wrong, "ada")
    assert not page.store.source.journal.exists()


def test_the_nearest_kept_sample_is_shown(desk):
    kept = row("The kept one?")
    left = row("The copy?", dropped=cause("dedup", "semantic_duplicate", 0.97, kept["id"]))
    page = desk([kept], [left])
    shown = page.store.sample(2)
    assert (shown["kept"], shown["near"]) == (False, 0.97)
    assert shown["neighbour"]["messages"] == kept["messages"]
    assert shown["sample"] == left


@pytest.mark.parametrize("given", [{"which": "some"}, {"review": "later"}, {"order": "size"}, {"q": "x" * 501}])
def test_a_wrong_wish_is_named(given):
    with pytest.raises(InputError, match=r"takes|characters"):
        Wish.of(given)


SHAPES = {
    "alpaca": {"instruction": "Add the numbers.", "input": "1 2", "output": "3"},
    "sharegpt": {
        "conversations": [{"from": "human", "value": "Add the numbers.\n\n1 2"}, {"from": "gpt", "value": "3"}]
    },
    "messages": {"messages": messages("Add the numbers.\n\n1 2", "3")},
    "preference": {"prompt": "Add the numbers.\n\n1 2", "chosen": "3", "rejected": "4"},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_any_dataset_can_be_looked_at(desk, shape):
    page = desk([SHAPES[shape]])
    shown = page.store.sample(1)
    assert shown["messages"] == messages("Add the numbers.\n\n1 2", "3")
    assert shown["sample"]["meta"].get("source", {}).get("rejected") == ("4" if shape == "preference" else None)
    assert (shown["path"], page.store.tree()["nodes"]) == ([], [])


def test_an_empty_dataset(desk):
    page = desk([])
    assert page.store.search(Wish())["total"] == 0
    assert page.store.facets(Wish())["which"] == {"kept": 0, "dropped": 0}


def test_the_index_is_built_once_for_the_same_files(desk, tmp_path):
    page = desk([row("One?")])
    (index,) = (tmp_path / "cache" / "curate" / "view").glob("*.sqlite")
    before = index.stat().st_ino
    again = Desk(str(tmp_path / "data.jsonl"), lambda done, total: pytest.fail("it was built again"))
    assert (again.store.kept, index.stat().st_ino) == (1, before)
    again.close()
    write(tmp_path / "data.jsonl", [row("One?"), row("Two?")])
    newer = Desk(str(tmp_path / "data.jsonl"), lambda done, total: None)
    assert newer.store.kept == 2
    assert page.store.sample(1)["sample"]["messages"][0]["content"] == "One?"  # what is open stays as it was
    newer.close()
