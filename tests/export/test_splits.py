"""Which row belongs to which split."""

import pytest

from curate.errors import InputError
from curate.export import Splits, parse_splits
from curate.types import Sample


def sample(text: str, ident: str = "x") -> Sample:
    return Sample(ident, ({"role": "user", "content": text}, {"role": "assistant", "content": "Yes."}))


def test_a_row_keeps_its_split_whatever_stands_beside_it():
    splits = Splits({"test": 0.2})
    rows = [sample(f"What is {i}?") for i in range(400)]
    alone = [splits.of(row) for row in rows]
    assert [splits.of(row) for row in reversed(rows)] == alone[::-1]
    assert 50 < alone.count("test") < 110
    # A third split takes rows of train alone.
    more = [Splits({"test": 0.2, "validation": 0.2}).of(row) for row in rows]
    assert [name for name in more if name == "test"] == [name for name in alone if name == "test"]
    assert all(a == b for a, b in zip(alone, more, strict=True) if a == "test") and 50 < more.count("validation") < 110


def test_equal_instructions_are_in_one_split_whatever_their_ids():
    splits = Splits({"test": 0.5})
    for i in range(50):
        assert splits.of(sample(f"Name {i} rivers.", "a")) == splits.of(sample(f"  name {i}  RIVERS ", "b"))


def test_another_seed_makes_other_splits():
    rows = [sample(f"What is {i}?") for i in range(100)]
    assert [Splits({"test": 0.5}).of(row) for row in rows] != [Splits({"test": 0.5}, seed=1).of(row) for row in rows]


def test_without_shares_everything_is_train():
    assert Splits().of(sample("x")) == "train" and Splits().names == ("train",)


def test_shares_as_they_are_given():
    assert parse_splits(["test=0.1", "validation=0.05"]) == Splits({"test": 0.1, "validation": 0.05})
    assert parse_splits(["train=0.9", "test=0.1"], 3) == Splits({"test": 0.1}, 3)
    assert parse_splits([]) == Splits()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["test"], "--split test: expected NAME=SHARE, as in test=0.1"),
        (["test=x"], "--split test=x: expected NAME=SHARE"),
        (["test=0.1", "test=0.2"], "the split 'test' has its share already"),
        (["test=0"], "'test' has the share 0; it takes a number between 0 and 1"),
        (["test=nan"], "--split test=nan"),
        (["test=1.5"], "between 0 and 1"),
        (["a=0.5", "b=0.5"], "the splits take 1 of the rows, and nothing is left for 'train'"),
        (["train=0.9", "test=0.2"], "--split train=0.9: the splits must add up to 1; leave it out, and train is 0.8"),
        (["../x=0.1"], "no split can be called '../x'"),
        (["all=0.1"], "no split can be called 'all'"),
        (["Test=0.1"], "no split can be called 'Test'"),
    ],
)
def test_shares_that_cannot_be(given, said):
    with pytest.raises(InputError) as caught:
        parse_splits(given)
    assert said in str(caught.value)
