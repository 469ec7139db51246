"""The chain of calls that makes a sheet: every way it can go, with the calls it takes."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from dataclasses import replace
from itertools import permutations, product

import exam_teacher as world
import pytest

from curate.errors import InputError
from curate.models import Engine, Ledger, ScriptedModel
from curate.stages.exam.documents import Documents, Passage, Span
from curate.stages.exam.questions import Asked, to_question
from curate.stages.exam.sheet import OUTCOMES, Rejected, Settings, Sheet, expected_calls, prepare
from curate.stages.exam.validity import REASONS, Cue
from curate.types import Completion, Failure, Question, Sample

ROUND = ["questions", "review", "blind"]
FULL = ["need", "knowledge", "sound", *ROUND]
GARBAGE = "I would rather not say {"


class Model:
    """Answers as the world does, but for the calls that are scripted by their place in the chain, from 0."""

    def __init__(self, scripted=()) -> None:
        self.scripted = dict(scripted)
        self.asked = []

    async def __call__(self, request) -> Completion:
        place = len(self.asked)
        self.asked.append(request)
        given = self.scripted.get(place)
        if isinstance(given, Failure):
            return Completion(f"key{place}", failure=given)
        if isinstance(given, Completion):
            return given
        return Completion(f"key{place}", given or world.reply(request), finish_reason="stop")

    @property
    def names(self):
        return [request.prompt.removeprefix("exam/") for request in self.asked]


def make(sample: Sample, scripted=(), documents=None, **settings) -> tuple[Sheet, Model]:
    model = Model(scripted)
    sheet = asyncio.run(prepare(Settings(**settings), documents)(sample, model))
    assert sheet.calls == tuple(f"key{place}" for place in range(len(model.asked)))
    assert sheet.outcome in OUTCOMES and Sheet.from_dict(json.loads(json.dumps(sheet.to_dict()))) == sheet
    return sheet, model


def reasons(sheet: Sheet) -> list[tuple[str, bool]]:
    return [(entry.reason, entry.final) for entry in sheet.rejected]


def test_a_sheet_with_everything_in_it_survives_json():
    question = Question("s1/0", "Which?", ("a", "b", "c", "d"), 2, "root/task", "It is c.")
    rejected = (Rejected(question, "several_right", "b is right too", False),)
    spans = (Span("a/b.jsonl", 3, 9, 2),)
    sheet = Sheet("s", "ready", True, "r", ("q",), "It is c.", spans, (question,), rejected, (1, 2), ("k",), "f", "d")
    assert Sheet.from_dict(json.loads(json.dumps(sheet.to_dict()))) == sheet


@pytest.mark.parametrize("number", [0, -1, 9])
def test_a_number_of_questions_that_no_reply_holds_is_refused(number):
    with pytest.raises(InputError, match=f"questions for each sample: {number}; give a whole number from 1 to 8"):
        Settings(questions=number)


def test_a_sample_that_needs_knowledge_gets_three_sound_questions():
    sheet, model = make(world.sample("Vandora"), judge="judge")
    assert model.names == FULL
    assert [request.role for request in model.asked] == ["teacher", "teacher", "judge", "teacher", "judge", "judge"]
    assert (sheet.outcome, sheet.need, sheet.failure, sheet.detail) == ("ready", True, "", "")
    assert (sheet.reason, sheet.queries) == ("It takes the capital of Vandora.", ("Vandora capital",))
    assert sheet.knowledge == world.knowledge_of("Vandora") and sheet.sources == () and sheet.rejected == ()
    assert [question.text for question in sheet.questions] == [
        f"What is the {kind} of Vandora?" for kind in ("river", "founder", "capital")
    ]
    for question, kind in zip(sheet.questions, ("river", "founder", "capital"), strict=True):
        assert question.options[question.answer] == world.fact(kind, "Vandora") and len(set(question.options)) == 4
        assert (question.subject, question.knowledge) == ("places/capitals", sheet.knowledge)
    assert {request.stage for request in model.asked} == {"exam"}
    assert [request.attempt for request in model.asked] == [
        f"0/id-Vandora-/{step}"
        for step in ("need", "knowledge", "sound", "questions/1", "review/1", "blind/1")
    ]  # fmt: skip


def test_the_judge_never_sees_the_key_nor_the_question_when_it_guesses():
    sheet, model = make(world.sample("Vandora"))
    review, blind = model.asked[4:]
    assert all(set(shown) == {"number", "question", "options"} for shown in review.variables["questions"])
    assert all(set(shown) == {"number", "options"} for shown in blind.variables["lists"])
    shown = [list(entry["options"].values()) for entry in blind.variables["lists"]]
    assert shown == [list(question.options) for question in sheet.questions]
    assert not any("What is the" in message["content"] for message in blind.messages)
    assert "Vandora" not in blind.messages[-1]["content"]


def test_a_sample_that_needs_none_costs_one_call():
    sheet, model = make(world.plain_sample(12))
    assert model.names == ["need"]
    assert sheet == Sheet("plain-12", "no_need", False, "The instruction says everything.", calls=("key0",))


@pytest.mark.parametrize(("instruction", "response"), [("Why?", " \n"), ("", "Because."), ("  ", "")])
def test_a_sample_without_instruction_or_response_is_not_asked_about(instruction, response):
    messages = ({"role": "user", "content": instruction}, {"role": "assistant", "content": response})
    sheet, model = make(Sample("s", messages))
    assert (sheet, model.asked) == (Sheet("s", "empty"), [])


def test_a_reply_that_cannot_be_read_is_repaired_once():
    sheet, model = make(
        world.sample("Vandora"), {0: GARBAGE, 1: json.dumps({"reason": "r", "needs_knowledge": True, "queries": []})}
    )
    assert model.names == ["need", "repair", *FULL[1:]] and sheet.outcome == "ready" and sheet.reason == "r"


LASTING = [
    ("need", 0, "unknown", None, 1),
    ("knowledge", 1, "no_knowledge", True, 2),
    ("sound", 2, "doubtful", True, 3),
    ("questions", 3, "no_questions", True, 4),
]


@pytest.mark.parametrize(("step", "place", "outcome", "need", "calls"), LASTING)
@pytest.mark.parametrize("kind", ["refusal", "empty_choice", "context_length", "bad_request"])
def test_what_a_model_will_never_say_has_its_outcome(step, place, outcome, need, calls, kind):
    sheet, model = make(world.sample("Vandora"), {place: Failure(kind, "the server said so")})
    assert model.names == FULL[:calls] and FULL[place] == step
    assert (sheet.outcome, sheet.need, sheet.failure, sheet.detail) == (outcome, need, kind, "the server said so")
    assert sheet.questions == ()


@pytest.mark.parametrize(("step", "place", "outcome", "need", "calls"), LASTING)
def test_what_cannot_be_read_after_its_repair_has_its_outcome(step, place, outcome, need, calls):
    sheet, model = make(world.sample("Vandora"), {place: GARBAGE, place + 1: GARBAGE})
    assert model.names == [*FULL[:calls], "repair"]
    assert (sheet.outcome, sheet.need, sheet.failure) == (outcome, need, "unreadable")
    cut = Completion(f"key{place}", GARBAGE, finish_reason="length")
    sheet, model = make(world.sample("Vandora"), {place: cut})
    assert model.names == FULL[:calls] and (sheet.outcome, sheet.failure) == (outcome, "truncated")


@pytest.mark.parametrize("place", range(9))
@pytest.mark.parametrize("kind", ["server", "budget", "stopped", "connection"])
def test_what_may_yet_come_is_no_outcome_at_any_step(place, kind):
    sheet, model = make(world.sample("Vandora", fault="length"), {place: Failure(kind, "not now")})
    assert len(model.asked) == place + 1
    assert (sheet.outcome, sheet.failure, sheet.questions) == ("failed", kind, ())


def test_an_answer_that_the_judge_holds_to_be_wrong_is_not_examined():
    sheet, model = make(world.sample("Vandora", true=False))
    assert model.names == FULL[:3]
    assert (sheet.outcome, sheet.detail, sheet.failure) == ("doubtful", "The capital is another.", "")


FAULTS = [reason for reason in REASONS if reason not in ("unjudged", "surplus")]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_question_with_a_fault_is_written_anew_once(fault):
    sheet, model = make(world.sample("Vandora", fault=fault))
    # A fault of form is no question to the judge; with the others there are two sound ones to look at.
    assert model.names == [*FULL, *ROUND]
    assert reasons(sheet) == [(fault, False)] and sheet.outcome == "ready"
    assert [question.text for question in sheet.questions] == [
        f"What is the {kind} of Vandora?" for kind in ("river", "founder", "capital")
    ]
    again = model.asked[6].variables
    assert again["count"] == 1 and [entry["fault"] for entry in again["failed"]] == [fault]
    assert again["kept"] == [f"What is the {kind} of Vandora?" for kind in ("river", "founder")]
    assert sheet.guessed == ((1, 0) if fault == "guessable" else (0, 0))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_question_that_fails_twice_is_dropped(fault):
    sheet, model = make(world.sample("Vandora", fault=f"{fault}!"))
    free = fault in ("options", "options_equal", "refers_to_text", "refers_to_options", "length", "overlap")
    left = 1 if free or fault == "duplicate" else 3 if fault == "guessable" else 2
    assert model.names == [*FULL, *ROUND[:left]]
    assert reasons(sheet) == [(fault, False), (fault, True)] and len(sheet.questions) == 2
    assert sheet.outcome == "ready"


def test_the_writer_is_told_why_in_words():
    _, model = make(world.sample("Vandora", fault="several_right"))
    text = model.asked[6].messages[-1]["content"]
    assert "Turned down because more than one option is right. The examiner's remark: \"The text says" in text


def test_no_question_left_is_an_outcome_of_its_own():
    sheet, _ = make(world.sample("Vandora", fault="length!"), questions=1)
    assert (sheet.outcome, sheet.questions, sheet.failure) == ("no_questions", (), "")
    assert reasons(sheet) == [("length", False), ("length", True)]


@pytest.mark.parametrize(("place", "kept"), [(4, 0), (5, 0)])
def test_a_judge_without_a_readable_reply_passes_nothing_and_nothing_is_rewritten(place, kept):
    sheet, model = make(world.sample("Vandora"), {place: GARBAGE, place + 1: GARBAGE})
    assert model.names == [*FULL[: place + 1], "repair"]
    assert (sheet.outcome, len(sheet.questions)) == ("no_questions", kept)
    assert reasons(sheet) == [("unjudged", True)] * 3


def test_a_judge_that_leaves_a_question_out_is_asked_again():
    one = json.dumps({"answers": [{"number": 1, "why": "", "clear": True, "right": ["A"], "defensible": []}]})
    sheet, model = make(world.sample("Vandora"), {4: one, 5: one})
    assert model.names == [*FULL[:5], "repair"] and reasons(sheet) == [("unjudged", True)] * 3
    assert "one entry for each number from 1 to 3, and has [1]" in model.asked[5].messages[-1]["content"]


def test_too_few_questions_are_asked_for_again_and_too_many_are_cut():
    one = json.dumps({"questions": [world.draft("river", "Vandora")]})
    sheet, model = make(world.sample("Vandora"), {3: one})
    assert model.names == [*FULL, *ROUND] and model.asked[6].variables["count"] == 2
    assert len(sheet.questions) == 3 and sheet.rejected == ()
    kinds = ("river", "founder", "capital", "anthem")
    four = json.dumps({"questions": [world.draft(kind, "Vandora") for kind in kinds]})
    sheet, model = make(world.sample("Vandora"), {3: four})
    assert model.names == FULL and len(sheet.questions) == 3 and reasons(sheet) == [("surplus", True)]


def test_a_second_round_that_gives_nothing_leaves_the_first_ones_questions():
    sheet, model = make(world.sample("Vandora", fault="length"), {6: Failure("refusal", "no")})
    assert model.names == [*FULL, "questions"] and len(sheet.questions) == 2
    assert sheet.outcome == "ready" and reasons(sheet) == [("length", True)]


PASSAGES = [
    Passage(Span("a.md", 0, 30), "Mushrooms grow in autumn."),
    Passage(Span("b/c.md", 10, 60), "Vandora is a country. Its capital is old."),
    Passage(Span("d.jsonl", 0, 20, 3), "The capital letters of this alphabet."),
]


def test_documents_are_searched_shown_and_cited_with_their_spans():
    sheet, model = make(world.sample("Vandora"), documents=Documents(PASSAGES))
    shown = model.asked[1].variables["passages"]
    assert shown[0] == {"number": 1, "file": "b/c.md", "text": "Vandora is a country. Its capital is old."}
    assert [entry["file"] for entry in shown] == ["b/c.md", "d.jsonl"]
    assert sheet.sources == (Span("b/c.md", 10, 60),)
    assert model.asked[2].variables["passages"] == ["Vandora is a country. Its capital is old."]


def test_a_passage_that_was_not_shown_cannot_be_cited():
    wrong = json.dumps({"knowledge": "k", "cited": [1, 9]})
    sheet, model = make(world.sample("Vandora"), {1: wrong, 2: wrong}, documents=Documents(PASSAGES))
    assert (sheet.outcome, sheet.failure, model.names) == (
        "no_knowledge",
        "unreadable",
        ["need", "knowledge", "repair"],
    )
    assert "passage 9, but passages 1 to 2 were shown" in model.asked[2].messages[-1]["content"]
    # Without passages a number means nothing, and no knowledge is lost over it.
    sheet, _ = make(
        world.sample("Vandora"), {1: json.dumps({"knowledge": world.knowledge_of("Vandora"), "cited": [1]})}
    )
    assert (sheet.outcome, sheet.sources) == ("ready", ())


def test_one_question_for_two_samples_has_one_id_and_one_order():
    first, _ = make(world.sample("Vandora"))
    other, _ = make(replace(world.sample("Vandora"), id="another"))
    assert [question.id for question in first.questions] == [question.id for question in other.questions]
    assert first.questions == other.questions
    draft = world.draft("river", "Vandora")
    moved = {**draft, "question": " what is the RIVER of Vandora", "wrong": draft["wrong"][::-1]}
    third, _ = make(world.sample("Vandora"), {3: json.dumps({"questions": [moved]})}, questions=1)
    assert third.questions[0].id == first.questions[0].id and third.questions[0].options == first.questions[0].options


def test_the_right_option_is_as_likely_in_every_place():
    """Also of a writer that has it first, and where it is the least number: no habit and no alphabet shows through."""
    places = Counter()
    for seed, number in product(range(3), range(900)):
        draft = {"question": f"Which is number {number}?", "right": "1", "wrong": ["2", "3", "4"]}
        places[to_question(draft, Asked("", "", "", "en", seed)).answer] += 1
    # 16.27 is the point that chi-square with three degrees of freedom passes once in a thousand sets.
    assert sum((places[place] - 675) ** 2 / 675 for place in range(4)) < 16.27 and places.total() == 2_700


def test_the_order_of_a_draft_does_not_show_in_the_question():
    draft = {"question": "Which?", "right": "one", "wrong": ["two", "three", "four"]}
    asked = Asked("", "", "", "en", 0)
    for wrong in permutations(draft["wrong"]):
        assert to_question({**draft, "wrong": list(wrong)}, asked) == to_question(draft, asked)
    other = to_question({**draft, "right": "two", "wrong": ["one", "three", "four"]}, asked)
    assert other.id != to_question(draft, asked).id


def test_a_world_of_faults_is_examined_without_one_left():
    samples = [world.sample(f"Land{n}", fault=FAULTS[n % len(FAULTS)] + "!" * (n % 2)) for n in range(60)]
    sheets = [make(sample)[0] for sample in samples]
    for sheet, sample in zip(sheets, samples, strict=True):
        place = world.place_of(sample.instruction)
        for question in sheet.questions:
            kind = question.text.split()[3]
            assert question.options[question.answer] == world.fact(kind, place)
    hits, misses = (sum(sheet.guessed[side] for sheet in sheets) for side in (0, 1))
    assert misses == 0 and Cue(hits, hits + misses).given_away == hits > 0


def test_a_judge_that_guesses_at_random_costs_what_its_misses_say():
    """It guesses half of the options' lists: one in eight is turned down without fault, and `given_away` says so."""

    class Guessing(Model):
        async def __call__(self, request):
            done = await super().__call__(request)
            if request.prompt != "exam/blind":
                return done
            guesses = json.loads(done.text)["guesses"]
            for entry in guesses:
                rng = random.Random(f"{request.attempt}/{entry['number']}")
                entry["guess"] = rng.choice("ABCD") if rng.random() < 0.5 else "none"
            return replace(done, text=json.dumps({"guesses": guesses}))

    async def every():
        work = prepare(Settings())
        return [await work(world.sample(f"Land{n}"), Guessing()) for n in range(150)]

    sheets = asyncio.run(every())
    right, wrong = (sum(sheet.guessed[side] for sheet in sheets) for side in (0, 1))
    looked_at = sum(len(sheet.questions) + len(sheet.rejected) for sheet in sheets)
    assert {entry.reason for sheet in sheets for entry in sheet.rejected} == {"guessable"}
    assert right / looked_at == pytest.approx(1 / 8, abs=0.04) and wrong / looked_at == pytest.approx(3 / 8, abs=0.05)
    assert Cue(right, right + wrong).interval[0] < 0.25 < Cue(right, right + wrong).interval[1]
    # Rewriting brings most of them back: one question in sixty-four is lost, and a sample without any is none.
    assert sum(len(sheet.questions) for sheet in sheets) >= 0.97 * 450


def run(ledger, samples, model, stop_after=None):
    """Return the sheets of a run through the engine, `stop_after` as many as given, and the calls that were sent."""
    sent = []

    def reply(request):
        sent.append(request.attempt)
        return model(request)

    work = prepare(Settings(judge="teacher"))
    with Engine({"teacher": ScriptedModel(reply)}, ledger) as engine:
        sheets = []
        for outcome in engine.map(samples, work, window=4):
            sheets.append(outcome.value)
            if len(sheets) == stop_after:
                engine.stop()
        return sheets, sent


def test_a_stopped_run_goes_on_where_it_was_and_ends_the_same(tmp_path):
    samples = [world.sample(f"Isle{n}", fault="length" if n % 3 else "") for n in range(12)]
    with Ledger(tmp_path / "whole.sqlite") as ledger:
        whole, sent = run(ledger, samples, world.reply)
    with Ledger(tmp_path / "calls.sqlite") as ledger:
        half, first = run(ledger, samples, world.reply, stop_after=3)
        resumed, second = run(ledger, samples, world.reply)
        again, third = run(ledger, samples, world.reply)
    assert [sheet.outcome for sheet in half].count("failed") >= 5 and half[:3] == whole[:3]
    assert {sheet.failure for sheet in half if sheet.outcome == "failed"} == {"stopped"}
    assert resumed == whole == again and third == []
    assert sorted(first + second) == sorted(sent)


def test_the_forecast_holds_for_a_world_with_its_shares():
    """Of 100 samples 40 need knowledge; of these, half have one of three questions written anew."""
    samples = [world.plain_sample(n) for n in range(60)]
    samples += [world.sample(f"Land{n}", fault="unclear" if n % 2 else "") for n in range(40)]
    made = Counter(name for sample in samples for name in make(sample)[1].names)
    expected = {entry.prompt: entry for entry in expected_calls(Settings(), need=0.4)}
    assert [entry.role for entry in expected.values()] == ["teacher", "teacher", "judge", "teacher", "judge", "judge"]
    assert made == {"need": 100, "knowledge": 40, "sound": 40, "questions": 60, "review": 60, "blind": 60}
    for name in ("need", "knowledge", "sound"):
        assert expected[name].calls * 100 == pytest.approx(made[name])
    # One question in four failing is one sample of three in 1 - 0.75 ** 3 = 58 %; here it is one in two.
    assert expected["questions"].calls == expected["blind"].calls == pytest.approx(0.4 * (2 - 0.75**3))


def test_the_forecast_counts_the_prompts_characters():
    for name, sample, documents in (
        ("need", world.plain_sample(1), False),
        ("knowledge", world.sample("Vandora"), True),
    ):
        shown = {
            entry.prompt: entry.input_characters
            for entry in expected_calls(Settings(), sample_characters=10_000, documents=documents)
        }
        bare = {entry.prompt: entry.input_characters for entry in expected_calls(Settings(), sample_characters=0)}
        request = next(r for r in make(sample)[1].asked if r.prompt == f"exam/{name}")
        real = sum(len(message["content"]) for message in request.messages)
        assert shown[name] - bare[name] >= 10_000 and bare[name] == pytest.approx(real, rel=0.35)
