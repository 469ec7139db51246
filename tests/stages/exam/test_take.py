"""Taking an exam: what becomes of a student's marks, in which order they are asked, and how running again resumes."""

from __future__ import annotations

import itertools
import json
import math

import pytest

from curate.errors import InputError
from curate.models.students import Item, Mark
from curate.stages.exam.kept import Kept
from curate.stages.exam.take import LEAST, Taken, normalised, take
from curate.types import Question

SHOTS = tuple(
    Question(f"s{n}", f"Which is {n}?", tuple(str(n + k) for k in range(4)), 0, "sums" if n < 6 else "law")
    for n in range(9)
)


def question(number: int, options=("red", "green", "blue", "pink"), answer=1, subject="") -> Question:
    return Question(f"q{number}", f"Colour {number}?", tuple(options), answer, subject)


class Scripted:
    """A student whose marks a function of (item, ending) decides; it hands marks over in the reverse order."""

    votes = False
    notes = ()
    name = fingerprint = "scripted"

    def __init__(self, value, together=4):
        self.value, self.together, self.seen = value, together, []

    def mark(self, items):
        self.seen.append(list(items))
        for number, item in reversed(list(enumerate(items))):
            found = self.value(item)
            yield number, found if isinstance(found, Mark) else Mark(tuple(found), (1,) * len(found), shots=5)

    def close(self):
        pass


def likes_words(item: Item):
    """Prefer green by a nat, wherever it stands and however it is asked."""
    shown = dict(line.split(". ") for line in item.tail.splitlines()[1:-1]) if "A. " in item.tail else None
    return [1.0 if (shown[e.strip()] if shown else e.strip()) == "green" else 0.0 for e in item.endings]


def likes_a(item: Item):
    return [3.0 if ending == " A" else 0.0 for ending in item.endings]


def test_letters_are_averaged_over_orders_and_given_by_the_options_of_the_question():
    [taken] = take([question(1)], Scripted(likes_words))
    right, wrong = 1 - math.log(math.e + 3), -math.log(math.e + 3)
    assert taken == Taken("q1", *[tuple(round(v, 6) for v in (wrong, right, wrong, wrong))] * 2, shots=5)
    [even] = take([question(1)], Scripted(likes_a), texts=False)
    assert even.text is None and len(set(even.letter)) == 1  # a favourite letter is nobody's favourite option
    [biased] = take([question(1)], Scripted(likes_a), texts=False, orders=1)
    assert biased.letter.index(max(biased.letter)) == 0


def test_permuted_options_have_permuted_marks():
    def by_word_and_letter(item):
        words = {"red": 0.3, "green": 1.1, "blue": -0.4, "pink": 0.0}
        shown = dict(line.split(". ") for line in item.tail.splitlines()[1:-1])
        return [words[shown[e.strip()]] + 0.7 * place for place, e in enumerate(item.endings)]

    [first] = take([question(1)], Scripted(by_word_and_letter), texts=False)
    for way in itertools.permutations(range(4)):
        other = question(1, [question(1).options[i] for i in way], way.index(1))
        [taken] = take([other], Scripted(by_word_and_letter), texts=False)
        assert taken.letter == tuple(first.letter[i] for i in way)


def test_texts_are_divided_by_their_tokens():
    def by_length(item):
        return Mark(tuple(-2.0 * n for n in range(1, 5)), (1, 2, 3, 4), shots=5)

    [taken] = take([question(1)], Scripted(by_length))
    assert taken.text == tuple([round(math.log(0.25), 6)] * 4)


def test_votes_are_summed_over_the_orders():
    student = Scripted(lambda item: Mark(votes=tuple(int(e == " B") * 5 for e in item.endings), shots=3))
    student.votes = True
    [taken] = take([question(1)], student)
    assert taken == Taken("q1", votes=(5, 5, 5, 5), shots=3)
    assert len(student.seen[0]) == 4  # without the texts, which letters cannot answer


@pytest.mark.parametrize("size", [2, 3, 10])
def test_other_numbers_of_options(size):
    options = ["green", *(f"colour {n}" for n in range(1, size))]
    [taken] = take([question(1, options, 0)], Scripted(likes_words))
    assert len(taken.letter) == len(taken.text) == size and max(taken.letter) == taken.letter[0]


def test_an_error_of_one_prompt_is_the_questions():
    def fails(item):
        return Mark(error="context: long") if "Colour 2?" in item.tail else likes_words(item)

    one, two, three = take([question(n) for n in (1, 2, 3)], Scripted(fails))
    assert two == Taken("q2", error="context: long")
    assert one.letter == three.letter is not None


def test_no_number_is_an_error_and_infinity_has_a_bound():
    [taken] = take([question(1)], Scripted(lambda item: [math.nan] * len(item.endings)))
    assert taken.error == "no number: the student gives NaN; its precision may be too low"
    assert normalised([-math.inf, 0.0]) == [LEAST, 0.0]
    assert normalised([-math.inf, -math.inf]) == [pytest.approx(-math.log(2))] * 2
    assert json.loads(json.dumps(normalised([-math.inf, 0.0]), allow_nan=False)) == [LEAST, 0.0]


def test_questions_come_back_in_order_and_are_asked_by_subject():
    student = Scripted(likes_words, together=3)
    asked = [question(n, subject=("sums", "law", "music")[n % 3]) for n in range(20)]
    done = []
    taken = list(take(asked, student, shots=SHOTS, tick=done.append))
    assert [one.id for one in taken] == [one.id for one in asked]
    for items in student.seen:
        assert len({item.shots for item in items}) == 2  # the letters' and the texts'
        assert len({item.tail for item in items if item.head.startswith("The following are questions")}) <= 3
    assert done[-1] == 20 and done == sorted(done)


def test_a_million_questions_would_be_held_a_few_at_a_time():
    pulled = itertools.count()
    asked = (question(next(pulled)) for _ in range(10_000))
    taken = take(asked, Scripted(likes_words, together=4))
    for _ in range(8):
        next(taken)
    assert next(pulled) <= 9


def test_a_wrong_question_is_named():
    with pytest.raises(InputError, match="question q7: the answer is option 4, counted from 0 to 3"):
        list(take([question(7, answer=4)], Scripted(likes_words)))


def test_taken_goes_through_json():
    for taken in (
        Taken("a", (-0.5, -1.25), (-0.25, -2.0), None, 5),
        Taken("b", votes=(3, 2), shots=1),
        Taken("c", error="context: ¶ 'x'"),
    ):
        assert Taken.from_dict(json.loads(json.dumps(taken.to_dict()))) == taken


def test_running_again_asks_nothing_and_after_a_kill_ends_with_the_same_bytes(tmp_path):
    asked = [question(n, subject=("sums", "law")[n % 2]) for n in range(10)]
    whole = Kept(tmp_path / "whole.jsonl")
    first = Scripted(likes_words, together=2)
    taken = list(take(asked, first, shots=SHOTS, kept=whole))
    whole.close()
    content = (tmp_path / "whole.jsonl").read_bytes()
    for size in (0, 1, 200, len(content) // 2, len(content) - 1, len(content)):
        path = tmp_path / f"cut{size}.jsonl"
        path.write_bytes(content[:size])
        again = Scripted(likes_words, together=2)
        kept = Kept(path)
        assert list(take(asked, again, shots=SHOTS, kept=kept)) == taken
        kept.close()
        assert path.read_bytes() == content
        # A unit that was cut is asked again whole, as it was the first time; nothing else is.
        assert again.seen == first.seen[len(first.seen) - len(again.seen) :]
    assert again.seen == []


def test_what_a_server_left_unanswered_is_not_kept(tmp_path):
    kept = Kept(tmp_path / "kept.jsonl")
    away = Scripted(lambda item: Mark(error="unanswered (budget): spent"))
    assert [one.error for one in take([question(1)], away, kept=kept)] == ["unanswered (budget): spent"]
    assert len(kept) == 0
    lasting = Scripted(lambda item: Mark(error="context: 9 tokens"))
    assert [one.error for one in take([question(1)], lasting, kept=kept)] == ["context: 9 tokens"]
    assert [one.error for one in take([question(1)], away, kept=kept)] == ["context: 9 tokens"]
    kept.close()


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"messages": []}\n')
    with pytest.raises(InputError, match=r"x.jsonl:1: no line of an exam's results; give another file with --out"):
        Kept(tmp_path / "x.jsonl")
