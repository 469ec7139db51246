"""The model that is trained: loaded, given its attention, its adapters and a forward pass that ends in the loss."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from curate.errors import InputError, MissingExtraError
from curate.train import attention
from curate.train.data.fit import check_vocabulary
from curate.train.logprobs import Head, cross_entropy
from curate.train.settings import Settings
from curate.train.steps import Pack

HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)

Ending = Callable[[Tensor, Head, Tensor], Any]
"""Takes hidden states [N, d], the head and the targets [N]."""

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def open_config(settings: Settings) -> Any:
    """Return the configuration of the model; raises InputError where there is no such causal language model."""
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    if not Path(settings.model).is_dir() and not HUB_NAME.fullmatch(settings.model):
        raise InputError(f"--model {settings.model}: there is no such folder, and no model on the Hub is called so")
    try:
        config = AutoConfig.from_pretrained(base_of(settings.model))
    except (OSError, ValueError) as error:
        raise InputError(f"{_place(settings.model)}: {_first_line(error)}") from error
    if config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise InputError(f"--model {settings.model}: '{config.model_type}' is no causal language model")
    return config


def base_of(model: str) -> str:
    """Return the model that a folder's adapters were trained on; any other model is its own."""
    path = Path(model) / "adapter_config.json"
    if not path.is_file():
        return model
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["base_model_name_or_path"])
    except (ValueError, KeyError, TypeError):
        raise InputError(f"--model {model}: its adapter_config.json names no base_model_name_or_path") from None


def _place(model: str) -> str:
    """Return what messages call the model."""
    base = base_of(model)
    return f"--model {model}" + (f", adapters on {base}" if base != model else "")


def open_tokenizer(settings: Settings, config: Any) -> Any:
    """Return the model's tokenizer.

    Raises:
        InputError: there is none, it has no token that ends an answer, or the model has no vectors for all its tokens.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(settings.model)
    except (OSError, ValueError) as error:
        raise InputError(f"--model {settings.model}: no tokenizer ({_first_line(error)})") from error
    if tokenizer.eos_token_id is None:
        raise InputError(f"--model {settings.model}: its tokenizer has no eos_token; set it in tokenizer_config.json")
    check_vocabulary(tokenizer, config.get_text_config().vocab_size, settings.model)
    # Packs need no padding; what generates samples does, and a model without a pad token can take any that is masked.
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


RECORDS = ("training.json", "merge.json")
"""Files that say how long a model took to make, or when: the same model has others when it is made again."""


def fingerprint(model: str, config: Any) -> str:
    """Return what tells one state of a model from another: its commit on the Hub, or a hash of its files.

    Of a large file the beginning and the end count: reading all of the weights takes as long as loading them.
    """
    folder, base = Path(model), base_of(model)
    if not folder.is_dir():
        return str(getattr(config, "_commit_hash", None))
    digest = hashlib.blake2b(digest_size=8)
    if base != model:
        digest.update(fingerprint(base, config).encode())
    parts = [path for path in folder.iterdir() if path.suffix in (".json", ".safetensors", ".bin")]
    for path in sorted(path for path in parts if path.name not in RECORDS):
        with path.open("rb") as file:
            start = file.read(1 << 20)
            file.seek(max(path.stat().st_size - (1 << 20), 0))
            digest.update(repr((path.name, path.stat().st_size)).encode() + start + file.read())
    return digest.hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def open_model(settings: Settings, config: Any, device: torch.device) -> nn.Module:
    """Return the model on the CPU (on `device` in 4 bits), with adapters where the method has them, ready to train.

    Where `settings.model` are adapters themselves, they are in the weights of the model that they were trained on.
    """
    from transformers import AutoModelForCausalLM

    attention.register()
    frozen = settings.method != "full"
    # A frozen model takes no updates that its own precision would lose.
    dtype = config.dtype or torch.float32 if frozen and device.type != "cpu" else DTYPES[settings.weights]
    # Every model has this one; ours takes its place.
    options: dict[str, Any] = {"dtype": dtype, "attn_implementation": "eager"}
    if settings.method == "qlora":
        options |= {"quantization_config": _four_bits(), "device_map": {"": device}}
    try:
        model = AutoModelForCausalLM.from_pretrained(base_of(settings.model), config=config, **options)
        if base_of(settings.model) != settings.model:
            model = _peft(settings.model).PeftModel.from_pretrained(model, settings.model).merge_and_unload()
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{_place(settings.model)}: {_first_line(error)}") from error
    model.config.use_cache = False
    return _with_adapters(model, settings) if frozen else cast("nn.Module", model)


def check_method(settings: Settings, device: torch.device) -> None:
    """Raise InputError where the method needs what is not here, or cannot have this model."""
    apart = settings.method == "qlora" or (settings.method == "lora" and not settings.merge)
    if apart and base_of(settings.model) != settings.model:
        raise InputError(
            f"{_place(settings.model)}: new adapters kept apart, or on 4 bits, would lose them; train with --method "
            "full, or with --method lora --merge"
        )
    if settings.method != "qlora":
        return
    if device.type != "cuda":
        raise InputError("--method qlora: models in 4 bits need a GPU that bitsandbytes knows; lora works here")
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        raise InputError("--method qlora needs bitsandbytes: pip install bitsandbytes") from None


def _four_bits() -> Any:
    """Return the configuration of QLoRA (Dettmers et al., arXiv 2305.14314): NF4, scales quantised too."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def _peft(what: str) -> Any:
    try:
        import peft
    except ImportError:
        raise MissingExtraError(what, "train") from None
    return peft


def _with_adapters(model: Any, settings: Settings) -> nn.Module:
    peft = _peft(f"--method {settings.method}")
    options = {"r": settings.lora_rank, "lora_alpha": settings.lora_alpha, "target_modules": "all-linear"}
    adapted = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **options))
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return cast("nn.Module", adapted)


def causal(model: nn.Module) -> Any:
    """Return the language model inside of whatever wraps it."""
    while hasattr(model, "module"):
        model = model.module
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def head_of(model: Any) -> Head:
    """Return the last layer of a language model, with what its family does to the logits."""
    layer, config = model.get_output_embeddings(), model.config.get_text_config()
    scale = getattr(model, "logit_scale", None) or 1.0  # Cohere multiplies, Granite divides
    scale = scale / (getattr(config, "logits_scaling", None) or 1.0)
    return Head(layer.weight, getattr(layer, "bias", None), scale, getattr(config, "final_logit_softcapping", None))


def end_in_loss(model: nn.Module, neftune: float = 0.0) -> None:
    """Let the model's forward pass return the summed loss of a pack where it is given `places` and `targets`.

    It is put in the place of the model's own, so that whatever wraps a model (DDP, FSDP, autocast, PEFT) surrounds it;
    without `targets` it is the model's own. Another `ending` than the cross-entropy is given the hidden states at
    `places` [N, d], the head and `targets`, and the pass returns what it makes of them. `neftune` is the size of the
    noise of NEFTune (arXiv 2310.05914): uniform, of magnitude neftune / sqrt(length * width) for the tokens of a
    document of that length.
    """
    inner = causal(model)
    plain, decoder = inner.forward, inner.get_decoder()

    def forward(
        *arguments: Any,
        places: Tensor | None = None,
        targets: Tensor | None = None,
        ending: Ending = cross_entropy,
        **options: Any,
    ) -> Any:
        if places is None or targets is None:
            return plain(*arguments, **options)
        given = {name: value for name, value in options.items() if value is not None}
        if neftune and inner.training:
            given["inputs_embeds"] = _noisy(inner, given.pop("input_ids"), given["documents"], neftune)
        hidden = decoder(*arguments, **given, use_cache=False).last_hidden_state.flatten(0, 1)
        device = hidden.device.type
        if torch.is_autocast_enabled(device):
            hidden = hidden.to(torch.get_autocast_dtype(device))
        with torch.autocast(device, enabled=False):
            return ending(hidden[places], head_of(inner), targets)

    inner.forward = forward


def _noisy(model: Any, ids: Tensor, ends: tuple[int, ...], size: float) -> Tensor:
    vectors: Tensor = model.get_input_embeddings()(ids)
    bounds = torch.tensor(ends)
    lengths = bounds.diff()
    width = (size / (lengths * vectors.shape[-1]).sqrt()).repeat_interleave(lengths).to(vectors)
    return vectors + (torch.rand_like(vectors) * 2 - 1) * width[None, :, None]


def precision(settings: Settings, device: torch.device) -> torch.autocast:
    """Return the precision that passes run in: bfloat16 on a GPU, whatever the weights are; elsewhere the weights'."""
    return torch.autocast(device.type, torch.bfloat16, enabled=autocasts(settings, device))


def autocasts(settings: Settings, device: torch.device) -> bool:
    """Whether passes run in another precision than the weights'."""
    return device.type == "cuda" and (settings.weights == "float32" or settings.method != "full")


def inputs_of(pack: Pack, device: torch.device) -> dict[str, Any]:
    """Return what `forward` takes for a pack."""
    names = ("input_ids", "position_ids", "places", "targets")
    tensors = {name: pack[name].to(device, non_blocking=True) for name in names}  # type: ignore[literal-required]
    about = attention.keywords(pack["ends"], pack["longest"], device, pack.get("prefixes"))
    if len(pack["input_ids"]) > 1:
        # Each is a row of its own, in which nothing behind a token changes it.
        del about["documents"]
    return {**tensors, **about}


def set_attention(model: nn.Module, name: str) -> None:
    """Let the model attend as `attention.NAMES` says, or as transformers does by itself ("own")."""
    causal(model).set_attn_implementation(attention.NAMES.get(name, "sdpa"))


@contextmanager
def as_it_came(model: nn.Module) -> Iterator[None]:
    """Let the model attend as transformers lets it and be in evaluation mode, without gradients, in the block."""
    inner = causal(model)
    before, training = inner.config._attn_implementation, model.training
    inner.set_attn_implementation("sdpa" if inner._supports_sdpa else "eager")
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        inner.set_attn_implementation(before)
        model.train(training)
