"""The gradient of an update: what its targets are taught, however they lie in packs, and by whom."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from asked import header_of, records_of
from tiny_models import WORDS, make_model, make_tokenizer

from curate.errors import InputError
from curate.fuse.align import Options as AlignOptions
from curate.fuse.align import align
from curate.fuse.capture import Options as CaptureOptions
from curate.fuse.capture import capture
from curate.train import attention
from curate.train.data.sources import parse_sources
from curate.train.data.templates import find_template
from curate.train.data.tokens import Coder
from curate.train.distill.lessons import lessons_of
from curate.train.distill.live import Live
from curate.train.distill.run import FusionTrainer
from curate.train.distill.settings import Fusion
from curate.train.distill.teaching import Stored, Teaching
from curate.train.dists import Dists, write_dists
from curate.train.dists.vocabulary import vocabulary_of
from curate.train.feed import dealt
from curate.train.flops import Work
from curate.train.model import end_in_loss, set_attention
from curate.train.progress import Speed
from curate.train.steps import Steps

CPU = torch.device("cpu")
SAMPLES = 12


class Told:
    """A source whose distributions are in memory, so that tests can change them."""

    def __init__(self, name, records):
        self.name, self.said = name, {(one.sample, one.turn): one.dist for one in records}

    def prepare(self, lessons):
        pass

    def get(self, sample, turn):
        return self.said.get((sample, turn.number))

    def but(self, change):
        """Return another that says what `change` makes of every turn."""
        other = Told(self.name, [])
        other.said = {key: made for key, dist in self.said.items() if (made := change(dist)) is not None}
        return other


@pytest.fixture(scope="module")
def lessons(tokenizer, rows_file, tmp_path_factory):
    coder = Coder(tokenizer, find_template(None, tokenizer), 128)
    (source,) = parse_sources([str(rows_file)])
    return lessons_of(source, coder, vocabulary_of(tokenizer), tmp_path_factory.mktemp("tokens"))


@pytest.fixture(scope="module")
def told(big, rows_file):
    return Told("big", records_of(big, rows_file, keep=lambda number: number < SAMPLES))


@pytest.fixture(scope="module")
def own(tiny, rows_file):
    return Told("own", records_of(tiny, rows_file, keep=lambda number: number < SAMPLES))


@pytest.fixture(scope="module")
def update(tiny, lessons, tokenizer, tmp_path_factory):
    """What computes the loss, the gradient and the figures of one update, taught by the sources given."""
    from transformers import AutoModelForCausalLM

    attention.register()
    out = tmp_path_factory.mktemp("out")

    def compute(*sources, weight=0.25, choose="mince", tail="bucket", **layout):
        model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
        end_in_loss(model)
        set_attention(model, "sdpa")
        deal, in_epoch = dealt(lessons, lambda epoch: range(SAMPLES), SAMPLES)
        taught = Teaching(sources, choose, tail).layout
        steps = Steps(deal, in_epoch, layout=taught, **{"budget": 4096, "epochs": 1, **layout})
        settings = Fusion(("rows",), str(tiny), out, weight=weight, choose=choose, tail=tail, samples=0)
        trainer = FusionTrainer(
            model, settings, steps, Speed(Work(1, 1, 1), 1e9), CPU,
            total=1, tokenizer=tokenizer, tell=print, held_out=None,
        )  # fmt: skip
        trainer.create_optimizer()
        loss = trainer.training_step(trainer.model, steps[0])
        return float(loss), {name: one.grad for name, one in model.named_parameters()}, trainer.own_figures()

    return compute


def same(one, other, **tolerance):
    for name, gradient in one.items():
        torch.testing.assert_close(gradient, other[name], msg=name, **(tolerance or {"rtol": 1e-3, "atol": 1e-6}))


def size(gradient):
    return float(sum(one.double().square().sum() for one in gradient.values()) ** 0.5)


@pytest.fixture(scope="module")
def whole(update, told):
    return update(told)


def test_the_loss_is_the_mean_of_both_parts(whole):
    loss, _, figures = whole
    assert loss == pytest.approx(0.25 * figures["clm_loss"] + 0.75 * figures["fusion_loss"], rel=1e-5)
    assert (figures["taught"], figures["by_big"]) == (1, 1)
    assert figures["fusion_loss"] > 1


@pytest.mark.parametrize("layout", [{"budget": 80}, {"packed": False}, {"budget": 128, "pad_to": 64}])
def test_packed_padded_and_accumulated_give_the_same_gradient(update, told, whole, layout):
    loss, gradient, figures = update(told, **layout)
    assert loss == pytest.approx(whole[0], rel=1e-5)
    assert figures == pytest.approx(whole[2], rel=1e-5)
    same(gradient, whole[1])


def test_what_the_model_thinks_already_teaches_it_nothing(update, own, told):
    nothing, by_big = (size(update(source, weight=0.0)[1]) for source in (own, told))
    # The tail of stored rows is rounded like the rest: what is left is float32's noise.
    assert nothing < 1e-5 * by_big
    # Spread over ten tokens, even its own distribution is another one.
    assert size(update(own, weight=0.0, tail="renormalise")[1]) > 1e-2 * by_big


def test_places_without_a_row_have_no_part_in_fusion(update, told):
    def every_second(dist):
        kept = np.arange(0, len(dist.offsets), 2)
        return replace(dist, offsets=dist.offsets[kept], ids=dist.ids[kept], logprobs=dist.logprobs[kept],
                       tail=dist.tail[kept])  # fmt: skip

    def astray(dist):
        rows = every_second(dist)
        # The other rows are there, but at bytes where no token of the target begins.
        return replace(
            rows,
            offsets=np.append(rows.offsets, np.uint32(10_000)),
            ids=np.concatenate([rows.ids, dist.ids[:1]]),
            logprobs=np.concatenate([rows.logprobs, dist.logprobs[:1]]),
            tail=np.append(rows.tail, dist.tail[0]),
        )

    loss, gradient, figures = update(told.but(every_second))
    assert 0.4 < figures["taught"] < 0.6
    assert loss == pytest.approx(0.25 * figures["clm_loss"] + 0.75 * figures["fusion_loss"], rel=1e-5)
    again = update(told.but(astray))
    assert (again[0], again[2]) == (loss, figures)
    same(again[1], gradient, rtol=0, atol=0)
    # Of a turn without rows, and of all of them, only the usual loss is left.
    nothing = update(told.but(lambda dist: None), weight=0.25)
    usual = update(told, weight=1.0)
    assert (nothing[2]["taught"], nothing[2]["fusion_loss"]) == (0, 0)
    same({name: one * 4 for name, one in nothing[1].items()}, usual[1])


def test_two_sources_that_say_the_same_are_one(update, told, whole):
    twin = Told("twin", [])
    twin.said = told.said
    for choose in ("mince", "avgce"):
        loss, gradient, figures = update(told, twin, choose=choose)
        assert loss == pytest.approx(whole[0], rel=1e-6)
        same(gradient, whole[1], rtol=1e-4, atol=1e-7)
        assert (figures["by_big"], figures["by_twin"]) == ((1, 0) if choose == "mince" else (0.5, 0.5))


def test_each_turn_is_taught_by_the_source_that_it_surprises_least(update, told, own, whole):
    keys = sorted(told.said)
    better = {key: replace(own.said[key], nll_per_byte=told.said[key].nll_per_byte / 2) for key in keys[:3]}
    rival = Told("rival", [])
    rival.said = {**{key: replace(dist, nll_per_byte=99.0) for key, dist in own.said.items()}, **better}
    _, gradient, figures = update(told, rival)
    assert (figures["by_big"], figures["by_rival"]) == (0.75, 0.25)
    mixed = Told("mixed", [])
    mixed.said = {**told.said, **{key: own.said[key] for key in keys[:3]}}
    same(gradient, update(mixed)[1], rtol=0, atol=0)
    assert size({name: one - whole[1][name] for name, one in gradient.items()}) > 1e-3


def test_a_stored_and_a_live_source_give_the_same_gradient(update, told, big, tiny, rows_file, tmp_path, tokenizer):
    vocabulary = vocabulary_of(tokenizer)
    live = Live(str(big), 10, Coder(tokenizer, find_template(None, tokenizer), 128), len(tokenizer))
    live.open(parse_sources([str(rows_file)]))
    write_dists(tmp_path / "big", header_of(big), records_of(big, rows_file))
    stored = Stored(str(tmp_path / "big"), vocabulary, len(tokenizer), str(tiny))
    exact, asked, kept = update(told), update(live), update(stored)
    assert (live.name, stored.name) == ("big", "big")
    assert asked[0] == pytest.approx(exact[0], rel=1e-5)
    same(asked[1], exact[1])
    assert kept[0] == pytest.approx(exact[0], rel=1e-3)
    # Eight bits for a log-probability: a hundredth of the gradient is what rounding may move.
    moved = size({name: one - exact[1][name] for name, one in kept[1].items()})
    assert 0 < moved < 1e-2 * size(exact[1])
    assert asked[2]["taught"] == kept[2]["taught"] == 1


def test_a_live_source_with_another_tokenizer_is_aligned_as_a_stored_one(update, rows_file, tiny, tmp_path, tokenizer):
    other = make_model(tmp_path / "other", make_tokenizer(WORDS, 280))
    captured, aligned = tmp_path / "captured", tmp_path / "aligned"
    capture(rows_file, CaptureOptions(str(other), captured))
    align(captured, AlignOptions(str(tiny), aligned, cache=tmp_path / "maps"))
    live = Live(str(other), 10, Coder(tokenizer, find_template(None, tokenizer), 128), len(tokenizer))
    live.open(parse_sources([str(rows_file)]))
    asked, kept = update(live), update(Stored(str(aligned), vocabulary_of(tokenizer), len(tokenizer), str(tiny)))
    assert live.turns.maps is not None
    assert asked[2]["taught"] > 0.9
    assert asked[2]["taught"] == kept[2]["taught"]
    assert asked[0] == pytest.approx(kept[0], rel=1e-3)
    assert size({name: one - asked[1][name] for name, one in kept[1].items()}) < 1e-2 * size(asked[1])


def test_sources_of_one_name_are_numbered(told):
    assert Teaching([told, told], "mince", "bucket").names == ["big-1", "big-2"]


def test_distributions_in_other_tokens_are_refused(big, tmp_path, tokenizer):
    vocabulary, size = vocabulary_of(tokenizer), len(tokenizer)
    mine = header_of(big)
    for name, header in {
        "other": replace(mine, tokenizer="other"),
        "aligned": replace(mine, tokenizer="other", aligned_to=vocabulary.key),
        "aligned elsewhere": replace(mine, aligned_to="other"),
        "more logits": replace(mine, vocab_size=size + 1),
    }.items():
        write_dists(tmp_path / name, header, [])
    for name, words in {
        "other": "are in other tokens than TARGET's; align them: curate fuse align CAPTURED --model TARGET --out DIR",
        "aligned elsewhere": "are aligned to other tokens than TARGET's; align them:",
        "more logits": "are in other tokens than TARGET's; align them:",
    }.items():
        with pytest.raises(InputError, match=f"--dists .*{name}: the distributions of big {words}"):
            Stored(str(tmp_path / name), vocabulary, size, "TARGET")
    assert isinstance(Stored(str(tmp_path / "aligned"), vocabulary, size, "TARGET").dists, Dists)
