"""One update, however it is cut into packs; and the loss curve that TRL gives on the same samples."""

import pytest
import torch
from tiny_models import sample_rows

from curate.train import attention
from curate.train.data.collate import collate_padded
from curate.train.data.templates import find_template
from curate.train.data.tokens import Coder
from curate.train.feed import dealt
from curate.train.flops import Work, work_of
from curate.train.model import end_in_loss, set_attention
from curate.train.progress import Speed
from curate.train.settings import Settings
from curate.train.steps import Steps
from curate.train.trainer import PackTrainer
from curate.types import Sample

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def documents(tokenizer):
    coder = Coder(tokenizer, find_template(None, tokenizer), 128)
    samples = [
        Sample(str(number), ({"role": "user", "content": row["instruction"]},
                             {"role": "assistant", "content": row["output"]}))
        for number, row in enumerate(sample_rows(24))
    ]  # fmt: skip
    return [document for coded in coder.encode(samples, "rows") for document in coded.documents]


def plain_model(folder):
    from transformers import AutoModelForCausalLM

    attention.register()
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def trainer_of(folder, documents, tokenizer, out, tell=lambda progress: None, **options):
    model = plain_model(folder)
    end_in_loss(model)
    set_attention(model, "sdpa")
    update, in_epoch = dealt(documents, lambda epoch: range(len(documents)), options.pop("batch", 12))
    steps = Steps(update, in_epoch, **{"budget": 256, "epochs": 1, **options})
    settings = Settings(("rows",), str(folder), out, lr=1e-3, schedule="linear", warmup=0.0, clip=0.0, samples=0)
    speed = Speed(work_of(model), 1e9)
    return PackTrainer(
        model, settings, steps, speed, CPU, total=len(steps), tokenizer=tokenizer, tell=tell, held_out=None
    )


def gradients(trainer):
    """Return the loss and the gradient of this process's part of the first update."""
    trainer.create_optimizer()
    loss = trainer.training_step(trainer.model, trainer.train_dataset[0])
    return loss, {name: weight.grad for name, weight in trainer.model.named_parameters()}


LAYOUTS = {
    "one pack": {"budget": 4096},
    "many packs": {"budget": 80},
    "one document at a time": {"packed": False},
    "padded packs": {"budget": 128, "pad_to": 64},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_packed_padded_and_accumulated_give_the_same_gradient(tiny, documents, tokenizer, tmp_path, layout):
    trainer = trainer_of(tiny, documents, tokenizer, tmp_path, **LAYOUTS[layout])
    loss, ours = gradients(trainer)
    # The other side: one rectangle with a mask, transformers' own attention, torch's own mean over the targets.
    model, batch = plain_model(tiny), collate_padded(documents[:12], tokenizer.pad_token_id)
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["labels"][:, 1:].flatten())
    expected.backward()
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-5, atol=1e-5)
    for name, weight in model.named_parameters():
        torch.testing.assert_close(ours[name], weight.grad, rtol=1e-3, atol=1e-6, msg=name)


@pytest.mark.parametrize("world", [2, 3, 5])
def test_the_parts_of_several_processes_average_to_the_whole(tiny, documents, tokenizer, tmp_path, monkeypatch, world):
    whole_loss, whole = gradients(trainer_of(tiny, documents, tokenizer, tmp_path, budget=80))
    losses, sums, calls = [], {}, set()
    for rank in range(world):
        trainer = trainer_of(tiny, documents, tokenizer, tmp_path, budget=80, rank=rank, world=world)
        with monkeypatch.context() as patch:
            patch.setattr(type(trainer.args), "world_size", property(lambda self: world))
            loss, part = gradients(trainer)
        calls.add(len(trainer.train_dataset[0]["packs"]))
        losses.append(loss)
        for name, gradient in part.items():
            sums[name] = sums.get(name, 0) + gradient / world
    assert len(calls) == 1  # a process that calls the model once less would leave the others waiting
    torch.testing.assert_close(sum(losses) / world, whole_loss)
    for name, gradient in whole.items():
        torch.testing.assert_close(sums[name], gradient, rtol=1e-3, atol=1e-6)


def test_the_loss_curve_is_that_of_trl(tiny, documents, tokenizer, tmp_path):
    trl = pytest.importorskip("trl")
    from datasets import Dataset
    from torch.utils.data import SequentialSampler

    ours = []
    trainer_of(tiny, documents, tokenizer, tmp_path / "ours", batch=4, tell=ours.append).train()

    class InOrder(trl.SFTTrainer):
        def _get_train_sampler(self, *arguments):
            return SequentialSampler(self.train_dataset)

    rows = [{"input_ids": one.input_ids, "labels": one.labels} for one in documents]
    arguments = trl.SFTConfig(
        output_dir=str(tmp_path / "trl"), per_device_train_batch_size=2, gradient_accumulation_steps=2,
        num_train_epochs=1, learning_rate=1e-3, lr_scheduler_type="linear", weight_decay=0.0, max_grad_norm=0.0,
        logging_steps=1, save_strategy="no", report_to=[], disable_tqdm=True, use_cpu=True, bf16=False,
        gradient_checkpointing=False, max_length=None, dataset_kwargs={"skip_prepare_dataset": True},
    )  # fmt: skip
    theirs = InOrder(plain_model(tiny), arguments, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
    theirs.train()
    curve = [row["loss"] for row in theirs.state.log_history if "loss" in row]
    assert len(curve) == 6
    assert [row.loss for row in ours] == pytest.approx(curve, rel=2e-4)


def test_operations_are_those_of_the_formula(tiny):
    model = plain_model(tiny)
    # Two layers of width 32: q, o 32 x 32; k, v 32 x 16; gate, up, down 32 x 64. The head is as wide as the vocabulary.
    body = 2 * (2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 64)
    assert work_of(model) == Work(6 * body, 6 * 32 * model.config.vocab_size, 6 * 2 * 32)
    for weight in model.get_decoder().parameters():
        weight.requires_grad = False
    assert work_of(model).token == 4 * body


def test_speed_counts_real_tokens(monkeypatch):
    clock = iter([0.0, 2.0, 4.0, 8.0])
    monkeypatch.setattr("curate.train.progress.time.perf_counter", lambda: next(clock))
    speed = Speed(Work(10.0, 1.0, 0.0), peak=1000.0)
    speed.add(tokens=80, targets=40, squares=0, padding=20)
    speed.add(tokens=80, targets=40, squares=0, padding=0)
    tokens, share = speed.recent()
    assert (tokens, share) == (40.0, (160 * 10 + 80) / 4 / 1000)
    assert speed.padding_share == 20 / 180
    assert speed.seconds_left(3) == 6.0
