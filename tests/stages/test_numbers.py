"""Numbers of keys: what a dictionary would say, also where keys share their place and the table grows."""

import random

from curate.stages.numbers import Numbers


def test_numbers_are_those_of_a_dictionary() -> None:
    rng = random.Random(0)
    different = [f"{rng.getrandbits(128):032x}" for _ in range(3000)]
    keys = [*different, *rng.choices(different, k=3000)]
    rng.shuffle(keys)
    numbers = Numbers()
    expected: dict[str, int] = {}
    for key in keys:
        assert numbers.of(key) == expected.setdefault(key, len(expected))
    assert len(numbers) == len(expected) == 3000


def test_keys_that_begin_alike_are_told_apart() -> None:
    numbers = Numbers()
    # Their first eight bytes say where they lie: all want the same place.
    keys = [f"{'f' * 16}{number:016x}" for number in range(1500)]
    assert [numbers.of(key) for key in keys] == list(range(1500))
    assert [numbers.of(key) for key in keys] == list(range(1500))
