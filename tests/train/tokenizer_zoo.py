"""Tokenizers of every make, small enough to be trained in a test; all end a turn with <|im_end|>."""

from tiny_models import CHATML
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

SPECIAL = ["<unk>", "<|endoftext|>", "<|im_start|>", "<|im_end|>"]

TEXTS = [
    "Say red green blue backwards, then count 1 2 3 45 678.",
    "The river walks past unbelievable stones; the café's naïve waiter says: 你好，世界!",
    "def add(a, b):\n    return a + b\n\n\nprint(add(1, 2))  # 3",
    "user assistant Question Answer red green blue seven eight nine apple pear plum river stone cloud walk",
] * 20


def _trained(raw, trainer):
    raw.train_from_iterator(TEXTS, trainer)
    return raw


def byte_level(size=400, regex=True):
    """GPT-2's make."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=regex)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return _trained(
        raw,
        trainers.BpeTrainer(vocab_size=size, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False),
    )


def sentencepiece_bpe(size=500):
    """Llama 2's make: a space before every text, "▁" for spaces, bytes for what has no letter."""
    raw = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    raw.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    raw.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    bytes_ = [f"<0x{number:02X}>" for number in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=SPECIAL + bytes_, limit_alphabet=60, show_progress=False
    )
    return _trained(raw, trainer)


def unigram(size=200):
    """T5's make: no bytes, so that rare characters are unknown."""
    raw = Tokenizer(models.Unigram())
    raw.normalizer = normalizers.NFKC()
    raw.pre_tokenizer = pre_tokenizers.Metaspace()
    raw.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=size, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False)
    return _trained(raw, trainer)


def wordpiece(size=300, lower=True):
    """BERT's make: spaces are dropped, and case where `lower`."""
    raw = Tokenizer(models.WordPiece(unk_token="<unk>"))
    raw.normalizer = normalizers.BertNormalizer(lowercase=lower)
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.decoder = decoders.WordPiece()
    return _trained(raw, trainers.WordPieceTrainer(vocab_size=size, special_tokens=SPECIAL, show_progress=False))


def words(size=300):
    """One token for each word; what is no known word is unknown."""
    raw = Tokenizer(models.WordLevel(unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    return _trained(raw, trainers.WordLevelTrainer(vocab_size=size, special_tokens=SPECIAL, show_progress=False))


def characters():
    """One token for each character, spaces among them."""
    raw = Tokenizer(models.BPE(unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    raw.decoder = decoders.Metaspace(prepend_scheme="never")
    return _trained(raw, trainers.BpeTrainer(vocab_size=5, special_tokens=SPECIAL, show_progress=False))


ZOO = {
    "byte_level": byte_level,
    "byte_level_small": lambda: byte_level(290),
    "sentencepiece_bpe": sentencepiece_bpe,
    "unigram": unigram,
    "wordpiece": wordpiece,
    "wordpiece_cased": lambda: wordpiece(lower=False),
    "words": words,
    "characters": characters,
}


def tokenizer_of(name):
    """Return one of the zoo as transformers has it, with a chat template."""
    from transformers import PreTrainedTokenizerFast

    raw = ZOO[name]()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, eos_token="<|im_end|>", pad_token="<|endoftext|>", unk_token="<unk>"
    )
    tokenizer.chat_template = CHATML
    return tokenizer
