"""`transformers.Trainer`, told what an update is here and how a checkpoint is written."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from curate.errors import CurateError
from curate.train.checkpoint import DRAFT, checkpoints, publish, rotate, step_of, written
from curate.train.launch import check_stage
from curate.train.memory import peak_bytes
from curate.train.model import autocasts, causal, inputs_of
from curate.train.optim import LeanAdamW
from curate.train.progress import Progress, Speed
from curate.train.settings import Settings
from curate.train.steps import Pack, Step, Steps, first


def arguments_of(settings: Settings, steps: int, device: torch.device) -> TrainingArguments:
    """Return what `Trainer` is told; an epoch of its is the whole run of ours, an update one of its batches."""
    return TrainingArguments(
        output_dir=str(settings.out / "checkpoints"),
        max_steps=steps,
        per_device_train_batch_size=1,
        learning_rate=settings.rate,
        lr_scheduler_type=settings.schedule,
        warmup_steps=math.ceil(settings.warmup * steps),
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.clip,
        optim="adamw_torch_fused",
        bf16=autocasts(settings, device),
        use_cpu=device.type == "cpu",
        seed=settings.seed,
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=settings.save_every or math.ceil(steps / 10),
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )


class PackTrainer(Trainer):  # type: ignore[misc]
    """Updates weights by the summed loss of an update's packs, divided by the number of targets in all of them.

    So neither how documents lie in packs nor how many processes share them changes the gradient. `held_out` gives the
    loss on held-out samples and whatever figures go with it; it is asked every `measure_every` updates and after the
    last one.
    """

    def __init__(
        self,
        model: nn.Module,
        settings: Settings,
        steps: Steps,
        speed: Speed,
        device: torch.device,
        *,
        total: int,
        tokenizer: Any,
        tell: Callable[[Progress], None],
        held_out: Callable[[], Mapping[str, float]] | None,
    ) -> None:
        arguments = arguments_of(settings, total, device)
        # A model that also sees has weights that text does not reach; to look for them takes time.
        config = causal(model).config
        arguments.ddp_find_unused_parameters = config.get_text_config() is not config
        super().__init__(model, arguments, train_dataset=steps, processing_class=tokenizer)
        # A configuration of DeepSpeed's own says its stage here alone.
        check_stage(getattr(getattr(self.accelerator.state, "deepspeed_plugin", None), "zero_stage", 0))
        self.remove_callback(PrinterCallback)
        self.settings, self.speed, self.tell = settings, speed, tell
        self.held_out = held_out
        self.measured: Mapping[str, float] = {}
        self.pending: Step | None = None
        self.place = Path(self.args.output_dir)

    def get_train_dataloader(self) -> DataLoader[Step]:
        """Return the updates one by one; each process makes its own part of them."""
        return DataLoader(self.train_dataset, batch_size=1, collate_fn=first)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Return AdamW: PyTorch's own, or ours where weights or moments are kept in less than 32 bits."""
        if not self.settings.lean:
            return super().create_optimizer(model)
        model = self.model if model is None else model
        decayed = set(self.get_decay_parameter_names(model))
        trained = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
        groups = [
            {"params": [weight for name, weight in trained if name in decayed], "weight_decay": self.args.weight_decay},
            {"params": [weight for name, weight in trained if name not in decayed], "weight_decay": 0.0},
        ]
        self.optimizer = LeanAdamW(
            [group for group in groups if group["params"]],
            lr=self.args.learning_rate,
            states=self.settings.states,
            seed=self.settings.seed,
        )
        return self.optimizer

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> Any:
        """Return the next update; it knows its targets itself."""
        return [next(epoch_iterator)], None

    def training_step(self, model: nn.Module, inputs: Step, num_items_in_batch: Any = None) -> Tensor:
        """Compute the gradient of one update and return its loss, this process's part times the processes."""
        model.train()
        packs, loss = inputs["packs"], torch.zeros((), device=self.args.device)
        for number, pack in enumerate(packs, 1):
            # Gradients are exchanged once for an update; DeepSpeed asks accelerate whether it is time.
            last = number == len(packs)
            self.accelerator.gradient_state._set_sync_gradients(last)
            with contextlib.nullcontext() if last else self.accelerator.no_sync(model):
                with self.compute_loss_context_manager():
                    part = self.compute_loss(model, pack, num_items_in_batch=inputs["units"])
                self.accelerator.backward(part)
            loss += part.detach()
        self.pending = inputs
        return loss

    def compute_loss(self, model: nn.Module, inputs: Pack, num_items_in_batch: int = 1, **_: Any) -> Tensor:
        """Return a pack's share of the mean loss over all units of the update; processes' shares are averaged."""
        summed: Tensor = model(**inputs_of(inputs, self.args.device))
        return summed * (inputs["weight"] * self.args.world_size / max(num_items_in_batch, 1))

    def floating_point_ops(self, inputs: Any) -> int:
        """Return 0: `Speed` counts them."""
        return 0

    def _maybe_log_save_evaluate(self, tr_loss: Tensor, *arguments: Any, **options: Any) -> None:
        done = self.state.global_step
        if self.pending is not None:
            step, self.pending = self.pending, None
            self.speed.add(step["tokens"], step["targets"], step["squares"], step["padding"])
            if self.held_out and (done % self.measure_every == 0 or done == self.state.max_steps):
                self.measured = self.held_out()
        super()._maybe_log_save_evaluate(tr_loss, *arguments, **options)

    def own_figures(self) -> dict[str, float]:
        """Return the figures of the last update that this kind of training has of its own; here none."""
        return {}

    @property
    def measure_every(self) -> int:
        """Updates from one look at the held-out samples to the next: an epoch's."""
        return int(self.train_dataset.in_epoch)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Tell where the run is; stop it where the loss has become no number."""
        if "loss" not in logs:
            return
        tokens, mfu = self.speed.recent()
        done = self.state.global_step
        others = {f"held_out_{name}": value for name, value in self.measured.items() if name != "loss"}
        progress = Progress(
            step=done,
            steps=self.state.max_steps,
            epoch=done / self.train_dataset.in_epoch,
            loss=logs["loss"],
            lr=logs["learning_rate"],
            grad_norm=logs.get("grad_norm", 0.0),
            tokens=self.speed.before + self.speed.tokens,
            tokens_per_second=tokens,
            mfu=mfu / self.args.world_size,
            padding=self.speed.padding_share,
            memory=peak_bytes(self.args.device),
            seconds=self.speed.seconds,
            left=self.speed.seconds_left(self.state.max_steps - done),
            held_out_loss=self.measured.get("loss"),
            more={**self.own_figures(), **others},
        )
        self.measured = {}
        self.tell(progress)
        if not math.isfinite(logs["loss"]):
            raise CurateError(
                f"the loss is {logs['loss']} after update {done}: the learning rate {self.settings.rate:g} may be too "
                f"high, or --warmup {self.settings.warmup:g} too short; the checkpoints before it stay"
            )

    def gathered(self) -> dict[str, Tensor] | None:
        """Return all weights on the CPU of the first process where each has but a shard, else None.

        Every process must call it.
        """
        if not self.accelerator.is_fsdp2:
            return None
        weights: dict[str, Tensor] = self.accelerator.get_state_dict(self.model_wrapped)
        return weights

    def _get_output_dir(self, trial: Any) -> str:
        return str(self.place)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Write a checkpoint under another name, and remove the oldest when the new one is whole."""
        folder = Path(self.args.output_dir)
        self.place = folder / DRAFT
        name = f"checkpoint-{self.state.global_step}"
        whole = checkpoints(folder)
        last = f"{whole[-1].name} of update {step_of(whole[-1]):,} is whole" if whole else "there is none before it"
        try:
            with written(self.place, str(folder / name), last):
                super()._save_checkpoint(model, trial)
                self.accelerator.wait_for_everyone()
                if self.is_world_process_zero():
                    publish(self.place / name, folder / name)
                    self.place.rmdir()
                    rotate(folder, self.settings.keep)
        finally:
            self.place = folder
        self.accelerator.wait_for_everyone()
