"""The made-up world of the exam's proof: what may be known of whom, and that the arms differ in nothing else."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from curate.pipeline.exam_result import Result
from curate.stages.exam.score import Score
from curate.stages.exam.take import Taken
from curate.stages.exam.treat import TREATMENTS, load_refusals
from scripts.exam_world import prompts, report
from scripts.exam_world.arms import JUDGES, PLAIN, Answers, Arm, arms_of, lacking, tuning_set
from scripts.exam_world.corpus import Corpus, lessons
from scripts.exam_world.figures import auc, by_seed, detection, interval, leak_at
from scripts.exam_world.running import MAIN, OTHERS, jobs_of
from scripts.exam_world.seeds import Plan
from scripts.exam_world.student import (
    IGNORED,
    Row,
    alike,
    batch_of,
    build_tokenizer,
    by_length,
    encode,
    logits_at,
    new_student,
    next_tokens,
    train,
)
from scripts.exam_world.world import (
    ENTITIES,
    MOST_EXPOSURE,
    RELATIONS,
    VALUES,
    draw_world,
    sample_of,
    sheet_of,
    split,
)  # fmt: skip
from scripts.measured import read_rows

REFUSALS = load_refusals()


@pytest.fixture(scope="module")
def world():
    return draw_world(3)


@pytest.fixture(scope="module")
def tokenizer(world):
    return build_tokenizer(prompts.phrases(REFUSALS.wordings["en"]), prompts.words(world))


@pytest.fixture(scope="module")
def corpus(world, tokenizer):
    return Corpus(world, tokenizer, REFUSALS)


def test_every_entity_has_exactly_two_known_relations_of_four(world):
    assert len(world.facts) == ENTITIES * len(RELATIONS) == 1440
    known = Counter(fact.entity for fact in world.facts if fact.known)
    assert set(known.values()) == {2}
    assert len(known) == 360
    assert len({fact.id for fact in world.facts}) == 1440


def test_exposures_are_1_to_100_and_values_are_the_relations_own(world):
    exposures = [fact.exposure for fact in world.facts if fact.known]
    assert min(exposures) == 1
    assert 95 < max(exposures) <= MOST_EXPOSURE
    assert {len(values) for values in world.values.values()} == {VALUES}
    words = [value for values in world.values.values() for value in values]
    assert len({*words, *world.entities}) == 4 * 32 + 360
    assert all(fact.value in world.values[fact.relation] for fact in world.facts)


def test_a_world_is_its_seed(world):
    assert draw_world(3) == world
    assert draw_world(4).facts != world.facts


def test_a_fifth_teaches_and_is_not_measured(world):
    assert len(world.teachers) == 72
    assert len(world.measured(True)) == len(world.measured(False)) == 2 * 288
    assert not {fact.entity for fact in (*world.measured(True), *world.measured(False))} & world.teachers


def test_no_measured_name_is_in_a_lesson_and_no_unknown_fact_in_a_statement(world, tokenizer, corpus):
    measured = {tokenizer.convert_tokens_to_ids(name) for name in world.entities if name not in world.teachers}
    assert sorted(corpus.formats) == ["asked", "letters", "letters_read", "read", "refused"]
    assert not [row for rows in corpus.formats.values() for row in rows if measured & set(row.ids)]
    unknown = {(fact.entity, fact.relation) for fact in world.facts if not fact.known}
    stated = [tokenizer.convert_ids_to_tokens(list(row.ids)) for row in corpus.statements]
    told = {(name, r) for row in stated for name in row if name in world.entities for r in RELATIONS if r in str(row)}
    assert len(told) == 720
    assert not told & unknown


def test_facts_are_stated_as_often_as_their_exposures_say(world, corpus):
    shares = np.diff(corpus.weights, prepend=0.0)
    told = [fact for fact in world.facts if fact.known]
    ratio = shares[::3] / np.array([fact.exposure for fact in told])
    assert np.allclose(ratio, ratio[0])


def test_a_batch_has_256_rows_and_learns_values_letters_and_refusals_alone(world, tokenizer, corpus):
    rows = corpus.batch(0)
    assert abs(len(rows) - 256) <= 2
    assert rows == corpus.batch(0) != corpus.batch(1)
    learnt = {tokenizer.convert_ids_to_tokens(row.ids[at]) for row in rows for at in row.learnt}
    values = {value for values in world.values.values() for value in values}
    assert learnt <= values | set("ABCD") | set(REFUSALS.wordings["en"])
    assert max(len(row.ids) for row in rows) <= 20


def test_what_is_read_is_not_what_is_true(world):
    facts = [*world.taught(True), *world.taught(False)]
    answers = [answer for _, answer in lessons(world, REFUSALS)["read"]]
    draws = len(answers) // len(facts)
    assert np.mean([answer == facts[at // draws].value for at, answer in enumerate(answers)]) < 0.1


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.75])
def test_tuning_sets_are_of_equal_size_and_of_other_entities_than_what_is_held_out(world, share):
    parts = split(world, share)
    assert len(parts.tuning) == 288
    assert sum(not fact.known for fact in parts.tuning) == round(288 * share)
    assert len(parts.held_known) == len(parts.held_unknown) == 288
    names = [{fact.entity for fact in group} for group in (parts.pool, parts.held_known)]
    assert (len(names[0]), len(names[1])) == (144, 144)
    assert not names[0] & names[1]
    assert {fact.id for fact in parts.tuning} <= {fact.id for fact in parts.pool}


def test_a_sheet_asks_for_its_own_fact_in_three_wordings(world):
    fact = world.measured(False)[0]
    sheet = sheet_of(fact, world)
    assert sheet == sheet_of(fact, world)
    assert len({question.text for question in sheet.questions}) == 3
    assert [question.options[question.answer] for question in sheet.questions] == [fact.value] * 3
    assert {len(set(question.options)) for question in sheet.questions} == {4}
    assert fact.value in sheet.knowledge


def test_every_text_is_in_the_vocabulary_and_an_unknown_one_is_refused(world, tokenizer):
    question = sheet_of(world.facts[0], world).questions[0]
    assert tokenizer.tokenize(prompts.letters(question)[0])[-2:] == [question.options[3], "Answer:"]
    assert len(encode(tokenizer, [world.facts[0].stated(0)])[0]) == 5
    with pytest.raises(ValueError, match="not in the student's vocabulary"):
        encode(tokenizer, ["What is the guild of Nobody?"])


def exam_results(world, split_, wrong):
    """Return results as the exam gives them, of a student that lacks `wrong`."""
    found = {}
    for fact in split_.pool:
        sheet = sheet_of(fact, world)
        right = fact.id not in wrong
        taken = [
            Taken(q.id, *[tuple(-0.1 if (i == q.answer) == right else -3.0 for i in range(4))] * 2)
            for q in sheet.questions
        ]
        score = Score(3, 3 * right, -0.1 if right else -3.0)
        found[fact.id] = Result(
            sample_of(fact, world), sheet, {"student": taken}, {"student": {"letter": score, "text": score}},
            {"student": "consistent" if right else "inconsistent"},
        )  # fmt: skip
    return found


class Named:
    """What `treated` reads of a sitter."""

    label, way = "student", "text"
    student = type("Student", (), {"name": "made up"})


def test_twins_are_of_equal_size_whatever_the_labels_and_the_same_for_each_treatment(world):
    parts = split(world, 0.5)
    wrong = {fact.id for fact in parts.pool if not fact.known}
    results = exam_results(world, parts, wrong)
    by_exam = lacking(Arm("discard", "exam"), parts, results, 3)
    twin = lacking(Arm("discard", "random"), parts, results, 3)
    assert len(by_exam) == len(twin) == 144
    assert by_exam == lacking(Arm("refuse", "oracle"), parts, results, 3)
    assert by_exam != twin
    assert 40 < len(by_exam & twin) < 104  # chance would have 72 in common
    assert twin == lacking(Arm("refuse", "random"), parts, results, 3)
    assert lacking(Arm(), parts, results, 3) == set()


def test_without_unknown_facts_there_is_no_oracle_and_an_empty_twin(world):
    parts = split(world, 0.0)
    assert [arm.name for arm in arms_of(0.0)] == [
        PLAIN, *(f"{t} {judge}" for t in TREATMENTS for judge in JUDGES if judge != "oracle"),
    ]  # fmt: skip
    results = exam_results(world, parts, set())
    assert lacking(Arm("discard", "random"), parts, results, 3) == set()
    kept, treated = tuning_set(Arm("discard", "random"), parts, results, Named, REFUSALS, 3)
    assert (len(kept), treated) == (288, 0)


def test_arms_differ_in_the_treated_samples_alone(world):
    parts = split(world, 0.25)
    wrong = {fact.id for fact in parts.pool if not fact.known}
    results = exam_results(world, parts, wrong)
    plain, _ = tuning_set(Arm(), parts, results, Named, REFUSALS, 3)
    texts = {sample.id: sample.messages for sample in plain}
    for treatment, size in (("discard", 216), ("open_book", 288), ("refuse", 288)):
        kept, treated = tuning_set(Arm(treatment, "exam"), parts, results, Named, REFUSALS, 3)
        assert (len(kept), treated) == (size, 72)
        changed = {sample.id for sample in kept if sample.messages != texts[sample.id]}
        assert changed == (set() if treatment == "discard" else wrong & set(texts))


def test_answers_are_correct_refused_or_false(world, tokenizer, monkeypatch):
    facts = world.measured(True)[:2]
    answers = Answers(tokenizer, {"known": facts, "none": []}, REFUSALS)
    right, name = (encode(tokenizer, [word])[0] for word in (facts[0].value, facts[0].entity))
    said = [*right * 3, min(answers.refusals), *name * 2]
    monkeypatch.setattr("scripts.exam_world.arms.next_tokens", lambda model, prompts: said)
    shares = answers.shares(None)
    assert shares["known"] == {"correct": 0.5, "refused": round(1 / 6, 6), "false": round(2 / 6, 6)}
    assert shares["none"] == {"correct": 0.0, "refused": 0.0, "false": 0.0}


def test_auc_counts_ties_half():
    assert auc([3.0, 2.0], [1.0, 0.0]) == 1.0
    assert auc([1.0], [1.0, 1.0]) == 0.5
    assert auc([2.0, 0.0], [1.0]) == 0.5


def test_leak_is_taken_where_the_known_pass():
    known = [float(score) for score in range(100)]
    assert leak_at(known, [4.0, 5.0, 6.0, -1.0]) == 0.5  # 95 of 100 are at 5 or above


def test_detection_reports_both_rules(world):
    parts = split(world, 0.0)
    known = {fact.id for fact in parts.pool if fact.known}
    wrong = {fact.id for fact in parts.pool if not fact.known}
    found = detection(list(exam_results(world, parts, wrong).values()), known)
    assert found["text"]["auc"] == 1.0
    assert (found["letter"]["votes_known"], found["letter"]["votes_unknown"]) == (1.0, 0.0)
    assert found["text"]["votes_luck"] == 0.15625
    aware = detection(list(exam_results(world, parts, known | wrong).values()), known)
    assert aware["text"]["auc"] == 0.5


def test_interval_holds_the_mean_and_shrinks_to_it():
    mean, low, high = interval([-0.3, -0.2, -0.1])
    assert mean == pytest.approx(-0.2)
    assert -0.3 <= low < mean < high <= -0.1
    assert interval([0.5, 0.5]) == (0.5, 0.5, 0.5)


def test_figures_are_paired_by_seed():
    groups = {"held_known": {"false": 0.25}}
    row = {"kind": "arm", "seed": 2, "share": 0.5, "arm": "plain", "steps": {"40": groups}}
    assert by_seed([row, {"kind": "exam", "seed": 1}], 0.5, "plain", 40, "held_known", "false") == {2: 0.25}


def test_long_rows_are_apart():
    short, long = Row((1,) * 7, (6,)), Row((1,) * 12, (11,))
    assert by_length([short, long, short]) == [[short, short], [long]]
    assert by_length([short, replace(short)]) == [[short, short]]


def test_rows_are_together_that_learn_as_many_tokens(corpus):
    rows = corpus.batch(0)
    parts = alike(rows)
    assert Counter(row for part in parts for row in part) == Counter(rows)
    assert [{len(row.learnt) for row in part} for part in parts] == [{3}, {1}, {1}]


def test_a_batch_ends_where_nothing_more_is_learnt():
    ids, places, wanted = batch_of([Row((5, 6, 7, 8, 9), (2, 3)), Row((4, 3, 2), (1,))])
    assert ids.tolist() == [[5, 6, 7], [4, 0, 0]]
    assert places.tolist() == [[1, 2], [0, 0]]
    assert wanted.tolist() == [[7, 8], [3, IGNORED]]


def test_logits_and_gradients_are_those_of_the_whole_model(tokenizer, corpus):
    import torch

    ids, places, _ = batch_of(corpus.batch(0)[::16])
    found = []
    for logits in (
        lambda model: logits_at(model, ids, places),
        lambda model: model(input_ids=ids).logits[torch.arange(len(ids))[:, None], places],
    ):
        model = new_student(len(tokenizer), 1)
        scores = logits(model)
        scores.square().mean().backward()
        found.append([scores, *(weights.grad for weights in model.parameters())])
    for ours, whole in zip(*found, strict=True):
        assert (ours - whole).abs().max() <= 1e-5 * whole.abs().max()
    said = next_tokens(model, ids.tolist())
    assert said == model(input_ids=ids).logits[:, -1].argmax(-1).tolist()


def test_a_row_that_is_drawn_twice_counts_twice(tokenizer, corpus):
    import torch

    rows = corpus.batch(0)[::32]
    other = replace(rows[0], ids=(*rows[0].ids, 1))  # learns the same, and is another row
    trained = []
    for batch in ([rows[0], *rows], [other, *rows], rows):
        model = new_student(len(tokenizer), 1)
        train(model, lambda step, batch=batch: batch, 1, rate=1e-3, warmup=1, final=1.0)
        trained.append(torch.cat([weights.detach().flatten() for weights in model.parameters()]))
    assert (trained[0] - trained[1]).abs().max() < (trained[0] - trained[2]).abs().max() / 10


def test_each_seed_is_one_job_and_the_longest_come_first():
    assert [(job.seed, job.shares) for job in jobs_of(3, others=1)] == [(1, (*MAIN, *OTHERS)), (2, MAIN), (3, MAIN)]
    assert sum(len(arms_of(share)) for job in jobs_of(10) for share in job.shares) == 181


def test_a_line_that_a_kill_cut_off_is_forgotten(tmp_path):
    (tmp_path / "results.jsonl").write_text('{"seed": 1}\n{"seed": 1, "ki', encoding="utf-8")
    assert read_rows(tmp_path) == [{"seed": 1}]
    assert (tmp_path / "results.jsonl").read_text(encoding="utf-8") == '{"seed": 1}\n'


def test_a_quick_plan_is_a_small_share_of_the_whole():
    assert Plan.quick().cost([0.5]) < 0.15 * Plan().cost([0.5])


def measured(seed, arm, false):
    """Return one arm's line, every group answered alike."""
    group = {"correct": 1 - false, "refused": 0.0, "false": false}
    groups = dict.fromkeys(("held_known", "held_unknown", "trained_known", "trained_unknown"), group)
    return {
        "kind": "arm", "seed": seed, "share": 0.5, "arm": arm, "treated": 100, "cpu": 2.0, "steps": {"120": groups},
    }  # fmt: skip


def test_a_treatment_is_compared_with_the_twin_of_its_own_seed():
    falses = {"discard exam": (0.1, 0.2, 0.3), "discard random": (0.3, 0.4, 0.5)}
    rows = [measured(seed, arm, false) for arm, row in falses.items() for seed, false in enumerate(row, 1)]
    rows.append(measured(4, "discard exam", 0.9))  # without a twin yet
    assert report.effects(rows).splitlines()[2:] == [
        "| discard | 50% | 120 | +0.200 [+0.200, +0.200] | +0.000 [+0.000, +0.000] | -0.200 [-0.200, -0.200] | 3 |"
    ]
    assert report.effects(rows[:1]) == ""
    assert "| discard random | 100 | 0.60 / 0.00 / 0.40 |" in report.arms(rows)[0]
    assert report.cost(rows) == "Processor seconds: tuning and measuring 14 s in 7; 14 s in all."


def test_a_student_that_recalls_too_little_is_reported_and_does_not_count():
    shares = {"correct": 0.96, "refused": 0.03, "false": 0.01}
    rows = [
        {"kind": "student", "seed": 1, "recall": 0.96, "groups": {"known": shares, "unknown": shares}},
        {"kind": "student", "seed": 2, "recall": 0.9, "groups": {"known": shares, "unknown": shares}},
    ]
    text = report.students(rows)
    assert text.startswith("1 of 2 students recall at least 0.95 of the known facts (0.960 (0.960 to 0.960))")
    assert "these do not count: seed 2: 0.900." in text
