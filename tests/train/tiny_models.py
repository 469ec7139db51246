"""Language models small enough to train in a test, and samples to train them on."""

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

WORDS = ["red", "green", "blue", "seven", "eight", "nine", "apple", "pear", "plum", "river", "stone", "cloud", "walk"]


def sample_rows(count):
    """Return `count` rows of the alpaca format, of different lengths."""
    rows = []
    for number in range(count):
        picked = [WORDS[(number * step + step) % len(WORDS)] for step in range(2, 5 + number % 9)]
        rows.append(
            {"instruction": f"Say {' '.join(picked)} backwards.", "input": "", "output": " ".join(picked[::-1])}
        )
    return rows


def pair_rows(count):
    """Return `count` rows with the columns of WRPO, of different lengths; the better answers are backwards."""
    rows = []
    for number in range(count):
        picked = [WORDS[(number * step + step) % len(WORDS)] for step in range(2, 5 + number % 7)]
        rows.append(
            {
                "prompt": [{"role": "user", "content": f"Say {' '.join(picked)} backwards, number {number}."}],
                "chosen": [{"role": "assistant", "content": " ".join(picked[::-1])}],
                "rejected": [{"role": "assistant", "content": " ".join(picked) + " again" * (1 + number % 3)}],
                "chosen_source": [{"role": "assistant", "content": " then ".join(picked[::-1])}],
            }
        )
    return rows


def make_tokenizer(texts, size=400):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=size, special_tokens=special, initial_alphabet=alphabet)
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    tokenizer.chat_template = CHATML
    return tokenizer


def make_model(folder, tokenizer, kind="llama", **options):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
             "num_key_value_heads": 2, "max_position_embeddings": 256, "head_dim": 8}  # fmt: skip
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    config = AutoConfig.for_model(kind, vocab_size=len(tokenizer), **{**sizes, **ends, **options})
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
