"""Students behind a server: by the echo of each ending where there is one, else by written letters; one probe tells."""

from __future__ import annotations

import math
import random
from collections import Counter
from contextlib import closing

import pytest
from loopback_server import Answer, LoopbackServer, chat, error

from curate.errors import ModelError
from curate.models import Budget, Engine, Ledger, open_model
from curate.models.students import Item, open_student
from curate.models.students.served import TEMPERATURE, VOTES, written_letter
from curate.stages.exam.take import take
from curate.types import Question

ITEM = Item("Head.\n", ("One: A\n", "Two: B\n"), "Three:", (" A", " BC", " C 字"))


@pytest.fixture
def server():
    running = LoopbackServer()
    yield running
    running.close()


def weight(token: str, before: str) -> float:
    """Return the log-probability that the pretended server gives to a character after a text."""
    return -1.0 - (ord(token) * 7 + len(before)) % 11 / 10


def echoed(body, *, as_ids=True, written=1, logprobs=True, echo=True):
    """Return what a server of characters echoes: one token for each, the first without a log-probability."""
    choices = []
    for index, text in enumerate(body["prompt"]):
        tokens = [f"token_id:{ord(c)}" if as_ids else c for c in text]
        values = [None, *(weight(c, text[:at]) for at, c in enumerate(text[1:], 1))]
        if written:
            tokens, values = [*tokens, "token_id:33" if as_ids else "!"], [*values, -0.1]
        choice = {"index": index, "text": (text if echo else "") + "!" * written, "finish_reason": "length"}
        choice["logprobs"] = {"tokens": tokens, "token_logprobs": values} if logprobs else None
        choices.append(choice)
    usage = {"prompt_tokens": sum(map(len, body["prompt"])), "completion_tokens": written * len(choices)}
    return Answer(body={"choices": choices[::-1], "usage": usage})


def spec(server: LoopbackServer) -> str:
    return f"openai:tiny@{server.url}"


def expected(item: Item, shots: int) -> list[float]:
    prompt = item.prompt(shots)
    begin = len(prompt) + 1  # all endings begin with the same blank, and the prompt alone has none
    begin -= 1
    texts = [prompt + ending for ending in item.endings]
    return [sum(weight(text[at], text[:at]) for at in range(begin, len(text))) for text in texts]


@pytest.mark.parametrize("style", [{"as_ids": True}, {"as_ids": False}, {"written": 0}])
def test_every_ending_is_scored_by_its_echo(server, style):
    server.answer = lambda body, number: echoed(body, **style)
    with closing(open_student(spec(server))) as student:
        assert student.votes is False and student.name == "tiny"
        assert student.notes == ("log-probabilities by the server's echo of every option (/v1/completions)",)
        [(_, mark)] = student.mark([ITEM])
    assert mark.logprobs == pytest.approx(expected(ITEM, 2)) and mark.tokens == (2, 3, 4) and mark.shots == 2
    body = server.bodies[-1]
    assert body["prompt"] == [ITEM.prompt(), *(ITEM.prompt() + ending for ending in ITEM.endings)]
    assert (body["max_tokens"], body["echo"], body["temperature"], body["logprobs"]) == (1, True, 0, 1)


def test_a_server_that_knows_no_ids_of_tokens_is_asked_without(server):
    def answer(body, number):
        if "return_tokens_as_token_ids" in body:
            return Answer(400, error("unrecognized request argument: return_tokens_as_token_ids"))
        return echoed(body, as_ids=False)

    server.answer = answer
    with closing(open_student(spec(server))) as student:
        [(_, mark)] = student.mark([ITEM])
    assert mark.logprobs == pytest.approx(expected(ITEM, 2))
    assert ["return_tokens_as_token_ids" in body for body in server.bodies] == [True, False, False]


def test_demonstrations_are_left_out_until_the_server_takes_the_prompt(server):
    def answer(body, number):
        if max(map(len, body["prompt"])) > len(ITEM.prompt(1)) + 4 and number:
            return Answer(400, error("This model's maximum context length is 20 tokens"))
        return echoed(body)

    server.answer = answer
    with closing(open_student(spec(server))) as student:
        marks = dict(student.mark([ITEM, Item("", (), "x" * 99, (" A", " B"))]))
    assert marks[0].shots == 1 and marks[0].logprobs == pytest.approx(expected(ITEM, 1))
    assert marks[1].error.startswith("context: ") and "maximum context length" in marks[1].error
    assert len(server.bodies) == 4  # the probe, twice the first item, once the second: no endless loop


NO_ECHO = {
    "no such path": lambda body: Answer(404, error("Not Found")),
    "not implemented": lambda body: Answer(501, error("completions are not implemented")),
    "no log-probabilities": lambda body: echoed(body, logprobs=False),
    "no echo": lambda body: echoed(body, echo=False),
    "no completion": lambda body: Answer(body={"object": "error"}),
}


@pytest.mark.parametrize("kind", NO_ECHO)
def test_without_log_probabilities_the_letters_are_counted(server, kind):
    server.answer = lambda body, number: NO_ECHO[kind](body) if "prompt" in body else "B"
    with closing(open_student(spec(server))) as student:
        assert student.votes is True and student.notes[0].startswith(f"{VOTES} written letters for each order, counted")
        taken = list(take([Question("q", "Who?", ("x", "y"), 0)], student, count=1))
    assert taken[0].votes == (VOTES, VOTES) and taken[0].letter is None and taken[0].text is None
    asked = [body for body in server.bodies if "messages" in body]
    assert len(asked) == 2 * VOTES and {body["temperature"] for body in asked} == {TEMPERATURE}


def test_votes_estimate_the_servers_probabilities(server):
    chance = random.Random(5)
    share = {"A": 0.5, "B": 0.3, "C": 0.15, "D": 0.05}
    ways = ("{}", " {}.", "The answer is {}", "**{}**")

    def answer(body, number):
        if "prompt" in body:
            return Answer(404, error("Not Found"))
        letter = chance.choices(list(share), list(share.values()))[0]
        return Answer(body=chat(chance.choice(ways).format(letter)))

    server.answer = answer
    items = [Item("", (), f"Q{number}. Answer:", (" A", " B", " C", " D")) for number in range(80)]
    with closing(open_student(spec(server))) as student:
        counted = Counter()
        for _, mark in student.mark(items):
            counted.update(dict(zip(share, mark.votes, strict=True)))
    total = counted.total()
    assert total == 80 * VOTES
    # Pearson's chi-square with three degrees of freedom; 16.3 is passed by one in a thousand.
    assert sum((counted[letter] - total * p) ** 2 / (total * p) for letter, p in share.items()) < 16.3


def test_a_reply_without_a_letter_is_no_vote_and_none_at_all_an_error(server):
    replies = iter(["I do not know", "B", "A planet", "It is hard", "(b)"] + ["None of these."] * VOTES)
    server.answer = lambda body, number: Answer(404, error("no")) if "prompt" in body else next(replies)
    with closing(open_student(spec(server))) as student:
        marks = [mark for _, mark in student.mark([Item("", (), f"{n}", (" A", " B")) for n in range(2)])]
    assert sum(marks[0].votes) + sum(marks[1].votes) == 2 or marks[1].error
    errors = [mark.error for mark in marks if mark.error]
    assert all(error.startswith(f"no letter: in {VOTES} replies, the first one ") for error in errors)


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("A", "A"), (" b ", "B"), ("(C)", "C"), ("D. Paris", "D"), ("**B**", "B"), ("The answer is C.", "C"),
        ("Answer: D", "D"), ("the correct option is (A) because", "A"), ("A\nbecause", "A"), ("E", None),
        ("A planet of the sun", None), ("Because", None), ("", None), ("I think so", None),
    ],
)  # fmt: skip
def test_which_letter_a_reply_gives(reply, letter):
    assert written_letter(reply, "ABCD") == letter


def test_the_ledger_answers_what_was_asked_before(server, tmp_path):
    server.answer = lambda body, number: echoed(body)
    for _ in range(2):
        with closing(open_student(spec(server), ledger=tmp_path / "calls.sqlite")) as student:
            [(_, mark)] = student.mark([ITEM])
            assert mark.logprobs == pytest.approx(expected(ITEM, 2))
    assert len(server.bodies) == 2  # the probe and the item, once


def test_a_spent_budget_leaves_questions_unanswered(server):
    server.answer = lambda body, number: echoed(body)
    with closing(open_student(spec(server), budget=Budget(calls=3))) as student:
        marks = dict(student.mark([Item("", (), f"{n}", (" A", " B")) for n in range(6)]))
    errors = [mark.error for mark in marks.values() if mark.error]
    assert len(errors) == 4 and all(error.startswith("unanswered (budget)") for error in errors)


def test_an_engine_of_a_run_is_used_where_there_is_one(server):
    server.answer = lambda body, number: echoed(body)
    model = open_model("student 1", spec(server))
    with Ledger() as ledger, Engine({"student 1": model}, ledger) as engine:
        student = open_student(spec(server), engine=engine, role="student 1")
        assert dict(student.mark([ITEM]))[0].tokens == (2, 3, 4)
        student.close()
        assert dict(student.mark([ITEM]))[0].tokens == (2, 3, 4)  # the run's engine is not closed with the student
        assert engine.stats().calls == 2


def test_a_server_that_is_not_there_cannot_be_asked(server):
    server.answer = lambda body, number: Answer(401, error("no key"))
    with pytest.raises(ModelError, match="no key"):
        open_student(spec(server))


def test_a_letter_that_shares_its_first_token_is_scored_from_where_texts_part(server):
    server.answer = lambda body, number: echoed(body)
    with closing(open_student(spec(server))) as student:
        [(_, mark)] = student.mark([Item("", (), "x", (" A", " B"))])
    assert mark.tokens == (2, 2) and not math.isclose(*mark.logprobs)
