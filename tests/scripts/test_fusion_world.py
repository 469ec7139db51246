"""The made-up world of fusion's proof: what is asked, who says it in which tokens, and that arms are equal."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from curate.errors import InputError
from curate.io import read_jsonl
from curate.train.dists import Dist, Header, Record, open_dists, write_dists
from scripts.fusion_world import arms, models, pools, preferences, report, teachers, tuning
from scripts.fusion_world.arms import Case
from scripts.fusion_world.bench import EACH, Bench, Plan
from scripts.fusion_world.figures import Effect, by_seed, effect, learnt, paired
from scripts.fusion_world.makers import SOURCES
from scripts.fusion_world.seeds import ARMS, NOISY, PARTS, PREFERRED, TUNED, cases_of
from scripts.fusion_world.skills import NAMES, SKILLS, VARYING, draw_world
from scripts.fusion_world.tokens import END, KINDS, build_tokenizer, merges
from scripts.measured import read_rows

PLAN = Plan(prompts=60, tests=12)


@pytest.fixture(scope="module")
def world():
    return draw_world(3, prompts=300, tests=60, checks=30)


def test_skills_do_what_their_names_say():
    said = {letter: skill("cabg") for letter, skill in SKILLS.items()}
    assert said == {"R": "gbac", "S": "abcg", "T": "abgc", "N": "dbch", "W": "cabgcabg", "L": "g"}
    assert list(SKILLS) == list(NAMES)
    assert SKILLS["N"]("j") == "a"


def test_answers_of_two_skills_vary_in_length(world):
    lengths = {
        letter: {len(t.answer) - len(t.prompt) + 1 for t in world.prompts if t.skill == letter} for letter in SKILLS
    }
    assert {letter for letter, found in lengths.items() if found != {0}} == set(VARYING)
    assert len(lengths["L"]) > 2


def test_every_part_has_as_many_of_each_skill_and_no_prompt_of_another(world):
    parts = (world.prompts, world.tests, world.checks)
    for part in parts:
        assert len({sum(task.skill == letter for task in part) for letter in SKILLS}) == 1
    assert len(world.kept_back) == sum(map(len, parts)) == 390
    assert all(task.answer == SKILLS[task.skill](task.prompt[1:].lower()) != "" for task in world.prompts)


def test_a_world_is_its_seed_and_sources_share_its_skills(world):
    assert draw_world(3, prompts=300, tests=60, checks=30) == world != draw_world(4, prompts=300, tests=60, checks=30)
    assert sorted(letter for pair in world.skills for letter in pair) == sorted(SKILLS)
    assert len(world.skills) == len(SOURCES) == 3


def test_tokenizers_cut_the_same_text_otherwise_and_give_it_back(world):
    kinds = {kind: build_tokenizer(kind, 3) for kind in KINDS}
    ends = {
        kind: [
            tuple(end for _, end in one(task.answer, return_offsets_mapping=True)["offset_mapping"])
            for task in world.prompts
        ]
        for kind, one in kinds.items()
    }
    apart = {
        pair: np.mean([one != other for one, other in zip(ends[pair[0]], ends[pair[1]], strict=True)])
        for pair in (("single", "pairs"), ("single", "triples"), ("pairs", "triples"))
    }
    assert min(apart.values()) > 0.1
    for one in kinds.values():
        assert one.decode(one("RABC=cba" + END)["input_ids"]) == "RABC=cba" + END
        assert one("RABC=")["input_ids"] == kinds["single"]("RABC=")["input_ids"]


def test_no_tokenizer_joins_what_another_joins():
    joined = {kind: {left + right for left, right in merges(kind, 5)} for kind in KINDS}
    assert (len(joined["single"]), len(joined["pairs"]), len(joined["triples"])) == (0, 9, 9)
    assert not joined["pairs"] & joined["triples"]
    assert merges("pairs", 5) != merges("pairs", 6)


@pytest.mark.parametrize("shape", models.SHAPES)
def test_a_cache_of_repeated_prompts_draws_what_the_model_says(shape, monkeypatch):
    tokenizer = build_tokenizer("single", 1)
    model = models.new_model(shape, 16, len(tokenizer), 1)
    monkeypatch.setattr(torch, "multinomial", lambda shares, count, generator: shares.argmax(-1, keepdim=True))
    prompts = ["RABC", "SABCD", "TCBA"]
    drawn = models.sample(model, tokenizer, prompts, 2, 1)
    for prompt, (one, other) in zip(prompts, drawn, strict=True):
        ids = torch.tensor([tokenizer(prompt + "=")["input_ids"]])
        said = model.generate(ids, max_new_tokens=models.ROOM, do_sample=False, attention_mask=torch.ones_like(ids))
        whole = tokenizer.decode(said[0, ids.shape[1] :])
        assert one == other == (whole.partition(END)[0] if END in whole else "")


def test_rows_that_have_ended_are_left_out_and_the_others_go_on_as_they_were(world, monkeypatch):
    tokenizer = build_tokenizer("pairs", 3)
    model = models.new_model("neox", 16, len(tokenizer), 1)
    models.make(model, tokenizer, ("W", "L"), world, 1, 30, 1e-2, lambda step: False)
    monkeypatch.setattr(torch, "multinomial", lambda shares, count, generator: shares.argmax(-1, keepdim=True))
    prompts = [task.prompt for task in world.prompts]
    drawn = models.sample(model, tokenizer, prompts, 2, 1)
    assert len({len(one) for one, _ in drawn}) > 2
    monkeypatch.setattr(models, "FEW", 0.0)
    assert models.sample(model, tokenizer, prompts, 2, 1) == drawn


def test_a_model_cools_down_when_it_has_learnt_enough(world):
    tokenizer = build_tokenizer("single", 1)
    rates = []

    def made(steps, cooling):
        model = models.new_model("llama", 16, len(tokenizer), 1)
        return models.make(model, tokenizer, ("L",), world, 1, steps, 1e-2, lambda step: step >= 10, cooling)

    with pytest.MonkeyPatch.context() as patch:
        step = torch.optim.AdamW.step

        def noted(self, *arguments):
            rates.append(self.param_groups[0]["lr"])
            return step(self, *arguments)

        patch.setattr(torch.optim.AdamW, "step", noted)
        assert [made(40, 0), made(40, 4), made(12, 4)] == [10, 14, 12]
    # The rate rises over 30 steps; it is the lower of that and of what is left of four.
    assert rates[20:24] == pytest.approx([1e-2 * 11 / 30, 1e-2 * 12 / 30, 1e-2 * 13 / 30, 1e-2 / 4])
    assert rates[-1] == pytest.approx(1e-2 / 4)


def test_right_is_what_greedy_decoding_answers(monkeypatch, world):
    tokenizer = build_tokenizer("pairs", 3)
    model = models.new_model("llama", 16, len(tokenizer), 1)
    skills = ("L",)
    models.make(model, tokenizer, skills, world, 1, 40, 1e-2, lambda step: False)
    tasks = [task for task in world.prompts if task.skill == "L"]
    monkeypatch.setattr(torch, "multinomial", lambda shares, count, generator: shares.argmax(-1, keepdim=True))
    said = models.sample(model, tokenizer, [task.prompt for task in tasks], 1, 1)
    share = np.mean([one == task.answer for (one,), task in zip(said, tasks, strict=True)])
    assert models.right(model, tokenizer, tasks) == {"L": pytest.approx(share)}
    assert 0 < share < 1


def test_verdicts_are_as_often_right_as_they_should_be(world):
    answers = {"llama": [[task.answer, "x", ""] for task in world.prompts]}
    for accuracy in (1.0, 0.8, 0.5):
        pool = pools.responses(world.prompts, "source", answers, accuracy, np.random.default_rng(1))
        told = [
            (one.status == "pass") == (one.content == task.answer)
            for task, found in zip(world.prompts, pool, strict=True)
            for one in found
            if one.content
        ]
        assert np.mean(told) == pytest.approx(accuracy, abs=0.05)
        assert {found[2].status for found in pool} == {"error"}


def test_samples_are_built_by_the_builders_rules(world, tmp_path):
    tasks = world.prompts[:20]
    answers = {"llama": [["x", task.answer] for task in tasks], "neox": [["y", "z"] for task in tasks]}
    pool = pools.responses(tasks, "source", answers, 1.0, np.random.default_rng(1))
    built = pools.build(tmp_path / "a.jsonl", "sft", tasks, pool)
    assert built == {"samples": 20, "dropped": {}}
    said = [row["messages"][-1]["content"] for row in read_jsonl(tmp_path / "a.jsonl")]
    assert said == [task.answer for task in tasks]
    pools.build(tmp_path / "b.jsonl", "sft", tasks, pool, verdicts=False)
    any_said = {row["messages"][-1]["content"] for row in read_jsonl(tmp_path / "b.jsonl")}
    assert {"x", "y", "z"} <= any_said
    pools.build(tmp_path / "c.jsonl", "dpo", tasks, pool)
    pairs = [(row["model"], row["chosen"][0]["content"]) for row in read_jsonl(tmp_path / "c.jsonl")]
    assert pairs == [("llama", task.answer) for task in tasks]
    with pytest.raises(InputError, match=r"no samples could be built \(all_fail 20\)"):
        pools.build(tmp_path / "d.jsonl", "sft", tasks, [found[2:] for found in pool])


def test_rewards_grade_answers_and_become_chance(world):
    tasks = world.prompts[:100]
    answers = {"llama": [[task.answer, task.answer[:-1] + "?", "?"] for task in tasks]}
    pool = pools.responses(tasks, "source", answers, 1.0, np.random.default_rng(1))
    exact = pools.rewarded(tasks, pool, 1.0, np.random.default_rng(1))
    # An answer of one symbol has nothing in common with its wrong ones.
    graded = [found for found, task in zip(exact, tasks, strict=True) if len(task.answer) > 1]
    assert all(right.score > near.score > wrong.score for right, near, wrong in graded)
    noise = pools.rewarded(tasks, pool, 0.5, np.random.default_rng(1))
    assert 0.35 < np.mean([right.score > wrong.score for right, _, wrong in noise]) < 0.65
    assert [one.content for found in noise for one in found] == [one.content for found in pool for one in found]


def test_shuffled_sources_answer_other_prompts():
    rows = [{"prompt_id": at, "chosen_source": at} for at in range(7)]
    moved = pools.shuffled_sources(rows, np.random.default_rng(1))
    assert sorted(row["chosen_source"] for row in moved) == list(range(7))
    assert not [row for row in moved if row["chosen_source"] == row["prompt_id"]]


class Fake(Bench):
    """A bench whose models answer at once, whose training is written down and whose folders hold nothing."""

    def source(self, name):
        return self.path("sources", name)

    def target(self, strength):
        return self.path("targets", str(strength))

    def answers(self, name, model, tokens, count, stream, places):
        tasks = [self.world.prompts[at] for at in places]
        return [[task.answer, "x", *["y"] * (count - 2)] for task in tasks]


@pytest.fixture
def bench(tmp_path, monkeypatch):
    runs = []

    def train(kind, settings):
        runs.append((kind, settings.steps, settings.batch, settings.steps <= settings.epochs * 1000))
        settings.out.mkdir(parents=True)
        return settings.out

    monkeypatch.setattr(tuning, "_train", train)
    made = Fake(tmp_path / "seed-1", 1, PLAN)
    made.runs = runs
    return made


def test_arms_have_equal_samples_and_steps(bench):
    case = Case(0.25)
    for make in TUNED.values():
        bench.runs.clear()
        make(bench, case)
        assert [run[:3] for run in bench.runs] == [("sft", 48, 64)]
    arms.start(bench, case)
    (bench.path("models", "start-0.25-1.0") / "training.json").touch()
    for name, make in PREFERRED.items():
        bench.runs.clear()
        make(bench, case)
        assert [run[1:3] for run in bench.runs] == ([] if name == "half of best of sources" else [(24, 64)])
    counts = {len(found) for pool in (arms.from_sources(bench, 1.0), arms._own(bench, case)) for found in pool}
    assert counts == {EACH * len(SOURCES)} == {6}
    assert len(bench.source_answers["llama"][0]) == len(bench.own_answers(0.25, copies=True)[0]) == 6


def test_what_a_preference_is_learnt_from_is_the_other_half_of_the_prompts(bench):
    first, second = arms.halves(bench)
    assert sorted(first + second) == list(range(60))
    arms.start(bench, Case(0.25))
    (bench.path("models", "start-0.25-1.0") / "training.json").touch()
    preferences.wrpo(bench, Case(0.25))
    ids = [{row["prompt_id"] for row in read_jsonl(path)} for path in sorted(bench.path("data").glob("*.jsonl"))]
    assert len(ids) == 2
    assert not ids[0] & ids[1]


def test_epochs_are_as_many_as_the_steps_need(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n' * 100)
    assert tuning._common(tmp_path / "a.jsonl", tmp_path, tmp_path, 48, 1.0, 1)["epochs"] == 24


def distributions(folder, n=40, k=4, size=29):
    """Write random distributions of n turns of three rows, and return their header."""
    rng = np.random.default_rng(1)
    header = Header("m", "", "t", "c", k, size)

    def record(at):
        shares = rng.dirichlet(np.ones(k + 1), 3)
        dist = Dist(
            np.arange(3, dtype=np.uint32),
            rng.permuted(np.tile(np.arange(size), (3, 1)), axis=1)[:, :k].astype(np.uint32),
            np.log(-np.sort(-shares[:, :k], 1)).astype(np.float32), np.log(shares[:, k]).astype(np.float32), float(at),
            np.zeros(3, np.uint8), rng.integers(size, size=3).astype(np.uint32), np.ones(3, np.float32), b"ab",
        )  # fmt: skip
        return Record(f"{at:016x}", 0, dist)

    write_dists(folder, header, map(record, range(n)))
    return header


def test_label_smoothing_has_the_entropy_that_is_asked_for(tmp_path):
    header = distributions(tmp_path / "a")
    wanted = teachers.entropy_of([tmp_path / "a"])
    share = teachers.smoothing_of(wanted, header.vocab_size)
    teachers.smoothed(tmp_path / "a", share, tmp_path / "b")
    for was, now in zip(open_dists(tmp_path / "a"), open_dists(tmp_path / "b"), strict=True):
        assert (now.dist.ids[:, 0] == was.dist.tokens).all()
        assert np.exp(now.dist.logprobs[:, 0]) == pytest.approx(1 - share, abs=2e-3)
        assert len(set(now.dist.ids[0].tolist())) == header.k
        rest = header.vocab_size - 1
        exact = -(1 - share) * np.log(1 - share) - share * np.log(share / rest)
        assert exact == pytest.approx(wanted, abs=1e-6)


def test_the_entropy_is_that_of_the_least_surprised_source(tmp_path):
    header = distributions(tmp_path / "a")
    sure = np.full((3, header.k), -np.inf, np.float32)
    sure[:, 0] = -1e-6
    better = [
        replace(
            one, dist=replace(one.dist, logprobs=sure, tail=np.full(3, np.log(1e-6), np.float32), nll_per_byte=-1.0)
        )
        for one in open_dists(tmp_path / "a")
    ]
    write_dists(tmp_path / "b", header, better)
    assert teachers.entropy_of([tmp_path / "a"]) > 0.5
    assert teachers.entropy_of([tmp_path / "a", tmp_path / "b"]) == pytest.approx(0, abs=1e-3)


def test_a_shuffled_teacher_says_the_same_elsewhere(tmp_path):
    distributions(tmp_path / "a")
    teachers.shuffled(tmp_path / "a", tmp_path / "b", np.random.default_rng(2))
    rows = [np.concatenate([one.dist.ids for one in open_dists(tmp_path / name)]) for name in ("a", "b")]
    assert sorted(map(tuple, rows[0].tolist())) == sorted(map(tuple, rows[1].tolist()))
    assert np.mean((rows[0] == rows[1]).all(1)) < 0.1


def test_an_effect_says_whether_it_helps():
    assert effect([0.18, 0.2, 0.22]).verdict == "helps"
    # 4.303 standard errors on either side: .02 / sqrt(3) each.
    assert str(effect([0.18, 0.2, 0.22])) == "+0.200 [+0.150, +0.250]"
    assert effect([-0.18, -0.2, -0.22]).verdict == "hurts"
    assert effect([0.1, 0.2, 0.3]).verdict == "no difference shown"
    assert effect([-0.1, 0.1, 0.05]).verdict == "no difference shown"
    assert effect([0.1, 0.2]) == Effect(pytest.approx(0.15), None, 2)
    assert effect([0.1, 0.2]).verdict == "too few seeds"
    assert effect([]) is None
    assert str(effect([0.25] * 3)) == "+0.250 [+0.250, +0.250]"


def measured(seed, arm, share, strength=0.25, accuracy=1.0, **other):
    """Return one arm's row, all skills but one answered alike."""
    shares = {**dict.fromkeys(SKILLS, share), **other}
    row = {"kind": "arm", "seed": seed, "arm": arm, "strength": strength, "accuracy": accuracy, "cpu": 1.0}
    return {**row, "right": shares, "samples": 10}


def made(seed, **right):
    """Return the rows of a seed's sources and targets."""
    sources = [
        {"kind": "source", "seed": seed, "name": "llama", "cpu": 1.0, "right": {**dict.fromkeys(SKILLS, 1.0), **right}}
    ]
    twin = {"kind": "source", "seed": seed, "name": "llama-twin", "cpu": 1.0, "right": dict.fromkeys(SKILLS, 1.0)}
    target = {"kind": "target", "seed": seed, "cpu": 1.0, "strengths": {"0.25": {"right": dict.fromkeys(SKILLS, 0.25)}}}
    return [*sources, twin, target]


def test_arms_are_compared_in_the_same_seed_on_skills_that_a_source_has():
    rows = [*made(1), *made(2, R=0.5)]
    rows += [measured(1, "own best-of-n", 0.5), measured(1, "best of sources", 0.75)]
    rows += [measured(2, "own best-of-n", 0.25), measured(2, "best of sources", 0.25, R=1.0)]
    assert learnt(rows) == {1: set(SKILLS), 2: set(SKILLS) - {"R"}}
    assert by_seed(rows, "best of sources", 0.25) == {1: 0.75, 2: 0.25}
    assert paired(rows, "best of sources", "own best-of-n", 0.25).mean == pytest.approx(0.125)
    assert paired(rows, "best of sources", "own best-of-n", 0.25, skill="R").mean == pytest.approx(0.25)
    assert paired(rows, "best of sources", "own best-of-n", 0.25, 0.8) is None


def test_the_report_says_in_words_what_does_not_help(tmp_path):
    rows = []
    for seed, (own, best, dpo) in enumerate(((0.5, 0.7, 0.4), (0.4, 0.6, 0.3), (0.5, 0.6, 0.45)), 1):
        rows += [*made(seed, R=0.5), measured(seed, "own best-of-n", own), measured(seed, "best of sources", best)]
        rows += [measured(seed, "LN-DPO", dpo), measured(seed, "best of sources", own, accuracy=0.5)]
        rows += [measured(seed, "own best-of-n", own, accuracy=0.5)]
    rows.append({**measured(1, "WRPO", 0.0), "right": None, "failed": "no samples could be built"})
    text = report.write(
        [{**row} if row.get("right") or row["kind"] != "arm" else _failed(row) for row in rows], tmp_path
    )
    assert "- best of sources, beside own best-of-n: helps at 0.25 (+0.167)." in text
    assert "- LN-DPO, beside own best-of-n: hurts at 0.25 (-0.083)." in text
    assert "| best of sources | +0.167 [+0.023, +0.310] helps | 3 |" in text
    assert "- seed 1, WRPO at 0.25 with verdicts right 100%: no samples could be built" in text
    assert "seed 1: reverse; seed 2: reverse; seed 3: reverse." in text
    assert "+0.000 [+0.000, +0.000] no difference shown" in text
    assert (tmp_path / "report.md").read_text() == text + "\n"
    assert "<svg" in (tmp_path / "report.svg").read_text()[:2000]


def _failed(row):
    return {key: value for key, value in row.items() if key not in ("right", "samples")}


def test_every_arm_is_in_a_part_and_every_comparison_names_arms():
    named = {name for part in PARTS for name, _ in cases_of(part, Plan())}
    assert named == set(ARMS)
    assert {name for pair in report.COMPARED for name in pair} | set(report.METHODS) | set(NOISY) <= set(ARMS)
    cases = [(name, case) for part in PARTS for name, case in cases_of(part, Plan())]
    assert len(cases) == len(set(cases)) == 3 * 19 + 12


def test_a_folder_goes_on_with_its_own_plan_alone(tmp_path):
    first = Bench(tmp_path, 1, PLAN)
    first.note(0.0, kind="arm", arm="x")
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write('{"seed": 1, "ki')
    again = Bench(tmp_path, 1, PLAN)
    assert [row["kind"] for row in again.rows] == ["plan", "arm"]
    assert again.found(kind="arm", arm="x")
    assert read_rows(tmp_path) == again.rows
    with pytest.raises(InputError, match="it holds another plan"):
        Bench(tmp_path, 1, replace(PLAN, prompts=66))
