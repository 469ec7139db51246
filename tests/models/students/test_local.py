"""A student in process: what is read once, together or alone, whole or in part, gives the same log-probabilities."""

from __future__ import annotations

import sys

import pytest
from tiny import make_tiny

from curate.errors import InputError, MissingExtraError
from curate.models.students import Item, is_served, open_student

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SHOTS = tuple(f"Question {n}: what is {n} and {n}?\nA. {n}\nB. {2 * n}\nAnswer: {'AB'[n % 2]}\n\n" for n in range(1, 6))
HEADS = (
    "The following are questions (with answers) about sums.\n\n",
    "Questions about nothing at all, with answers.\n\n",
)
ITEMS = [
    Item(HEADS[n % 2], SHOTS[: 5 - n % 3], f"What {'very ' * (n % 7)}is {n}?\nA. x\nB. y\nAnswer:", endings)
    for n, endings in enumerate([(" A", " B"), (" x", " a much longer one", " 不同的"), (" B", " A", " C", " D")] * 6)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny(tmp_path_factory.mktemp("student") / "tiny")


@pytest.fixture(scope="module")
def student(folder):
    return open_student(str(folder))


def sure(folder, **options):
    """Open a student whose weights are large enough to prefer something."""
    from curate.models.students.local import LocalStudent

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        for tensor in model.parameters():
            if tensor.dim() > 1:
                tensor *= 4
    return LocalStudent(model, tokenizer, "sure", **options)


def plainly(model, tokenizer, item, shots=None):
    """Return each ending's log-probability and tokens by one forward pass each over the whole text: the definition."""
    prompt = tokenizer(item.prompt(shots))["input_ids"]
    joint = [tokenizer(item.prompt(shots) + ending)["input_ids"] for ending in item.endings]
    begin = next(i for i, column in enumerate(zip([*prompt, -1], *joint)) if len(set(column)) > 1)  # noqa: B905
    values = []
    for ids in joint:
        with torch.no_grad():
            logps = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        values.append(sum(float(logps[place - 1, ids[place]]) for place in range(begin, len(ids))))
    return values, [len(ids) - begin for ids in joint]


def close(one, other, tolerance=1e-5):
    return len(one) == len(other) and all(abs(a - b) < tolerance for a, b in zip(one, other, strict=True))


def test_kept_keys_and_values_give_what_whole_prompts_give(folder):
    kept, whole = sure(folder), sure(folder, reuse=False)
    assert kept.notes == ("log-probabilities in process, float32 on cpu; demonstrations are read once",)
    assert whole.notes == ("log-probabilities in process, float32 on cpu; every prompt is read whole (as asked)",)
    one, other = dict(kept.mark(ITEMS)), dict(whole.mark(ITEMS))
    assert sorted(one) == sorted(other) == list(range(len(ITEMS)))
    for number, item in enumerate(ITEMS):
        assert close(one[number].logprobs, other[number].logprobs)
        assert (one[number].tokens, one[number].shots) == (other[number].tokens, len(item.shots))
    assert max(mark.logprobs[0] for mark in one.values()) - min(mark.logprobs[0] for mark in one.values()) > 1


def test_read_together_or_alone_is_the_same(folder):
    student = sure(folder)
    together = dict(student.mark(ITEMS))
    for number, item in enumerate(ITEMS):
        [(zero, alone)] = student.mark([item])
        assert zero == 0 and close(alone.logprobs, together[number].logprobs)


def test_marks_are_the_probability_of_the_whole_ending(folder):
    student = sure(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    marks = dict(student.mark(ITEMS[:6]))
    for number, item in enumerate(ITEMS[:6]):
        values, tokens = plainly(student._reader._model, tokenizer, item)
        assert close(marks[number].logprobs, values) and list(marks[number].tokens) == tokens


def test_demonstrations_are_left_out_until_the_prompt_fits(tmp_path):
    small = open_student(str(make_tiny(tmp_path / "small", context=160)))
    long = "word " * 170
    marks = dict(small.mark([*ITEMS[:2], Item(HEADS[0], SHOTS, long, (" A", " B"))]))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "small")
    for number in (0, 1):
        shown = marks[number].shots
        lengths = [
            max(len(tokenizer(ITEMS[number].prompt(n) + e)["input_ids"]) for e in ITEMS[number].endings) - 1
            for n in range(6)
        ]
        assert 0 < shown < 5 and lengths[shown] <= 160 < lengths[shown + 1]
        values, _ = plainly(small._reader._model, tokenizer, ITEMS[number], shown)
        assert close(marks[number].logprobs, values)
    error = marks[2].error
    assert error is not None and error.startswith("context: ") and error.endswith("and the student reads 160")


def word_tokenizer(kind):
    """Return tokenizers that treat ' A' in other ways than a usual one."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    letters = [chr(code) for code in range(32, 127)] + ["\n"]
    if kind == "split":  # every character is a token: " A" is two
        inner = Tokenizer(models.BPE({letter: number for number, letter in enumerate(letters)}, []))
    elif kind == "merged":  # ": A" and ": B" are one token, so the prompt's last token is not in the joint text
        more = [": ", ": A", ": B"]
        vocabulary = {token: number for number, token in enumerate([*letters, *more])}
        inner = Tokenizer(models.BPE(vocabulary, [(":", " "), (": ", "A"), (": ", "B")]))
    else:  # all words that it does not know are one token
        inner = Tokenizer(models.WordLevel({"[UNK]": 0, "Answer": 1, ":": 2, "known": 3}, unk_token="[UNK]"))
        inner.pre_tokenizer = pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=inner)


def with_tokenizer(kind):
    from curate.models.students.local import LocalStudent

    torch.manual_seed(1)
    tokenizer = word_tokenizer(kind)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=2048, initializer_range=0.3,
    )  # fmt: skip
    return LocalStudent(transformers.LlamaForCausalLM(config), tokenizer, kind), tokenizer


@pytest.mark.parametrize(("kind", "tokens"), [("split", [1, 1]), ("merged", [1, 1])])
def test_a_letter_that_is_merged_or_cut_is_scored_on_the_joint_tokens(kind, tokens):
    student, tokenizer = with_tokenizer(kind)
    item = Item(HEADS[0], SHOTS, "What is it?\nA. x\nB. y\nAnswer:", (" A", " B"))
    [(_, mark)] = student.mark([item])
    values, counts = plainly(student._reader._model, tokenizer, item)
    assert close(mark.logprobs, values) and list(mark.tokens) == counts
    if kind == "split":
        assert counts == [2, 2]
    else:
        assert tokenizer.convert_ids_to_tokens(tokenizer(item.prompt() + " A")["input_ids"])[-1] == ": A"
        assert counts == tokens


def test_options_with_equal_tokens_are_level(folder):
    student, _ = with_tokenizer("unknown")
    [(_, mark)] = student.mark([Item("Questions.\n\n", (), "Who? Answer:", (" Anna", " Otto", " known"))])
    assert mark.logprobs[0] == mark.logprobs[1] != mark.logprobs[2]


def test_an_ending_that_the_tokenizer_drops_is_an_error():
    student, _ = with_tokenizer("split")
    [(_, mark)] = student.mark([Item("", (), "Who? Answer:", (" Anna", "é"))])
    assert mark.error == "tokens: the student's tokenizer leaves nothing of the ending 'é'"


def test_a_model_without_keys_and_values_reads_whole_prompts():
    from curate.models.students.local import LocalStudent

    tokenizer = word_tokenizer("split")
    config = transformers.MambaConfig(vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, state_size=4)
    model = transformers.MambaForCausalLM(config)
    student = LocalStudent(model, tokenizer, "mamba")
    assert "every prompt is read whole (it keeps no keys and values" in student.notes[0]
    [(_, mark)] = student.mark([ITEMS[0]])
    assert close(mark.logprobs, plainly(model, tokenizer, ITEMS[0])[0])


def test_a_model_that_looks_ahead_is_refused():
    from curate.models.students.local import LocalStudent

    tokenizer = word_tokenizer("split")
    config = transformers.BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=512, initializer_range=0.5,
    )  # fmt: skip
    with pytest.raises(InputError, match="the student 'bert' is no causal model"):
        LocalStudent(transformers.BertLMHeadModel(config), tokenizer, "bert")


def test_the_fingerprint_is_that_of_weights_tokenizer_and_precision(folder, student, tmp_path):
    assert open_student(f"hf:{folder}").fingerprint == student.fingerprint
    other = open_student(str(make_tiny(tmp_path / "other", seed=1)))
    assert other.fingerprint != student.fingerprint
    half = open_student(str(folder), precision="bfloat16")
    assert half.fingerprint != student.fingerprint and half.fingerprint.endswith(" bfloat16")
    assert "bfloat16 on cpu" in half.notes[0]
    one, rough = dict(student.mark(ITEMS)), dict(half.mark(ITEMS))
    assert all(close(one[number].logprobs, rough[number].logprobs, 0.5) for number in one)


def test_what_cannot_be_opened(folder, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"the student '\./nowhere' cannot be loaded: there is no such folder"):
        open_student("./nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"cannot be loaded \(.*\); give the folder or the name of a causal model"):
        open_student(str(tmp_path / "empty"))
    with pytest.raises(InputError, match="the precision is 'int4'; it takes float32, bfloat16, float16"):
        open_student(str(folder), precision="int4")
    with pytest.raises(InputError, match="'procedural' is no language model and takes no exam"):
        open_student("procedural")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'curate-llm\[train\]'"):
        open_student(str(folder))


@pytest.mark.parametrize(
    ("spec", "served"),
    [("hf:x", False), ("x/y", False), ("./m", False), ("openai:m", True), ("vllm:m", True), ("procedural", False)],
)
def test_which_students_are_served(spec, served):
    assert is_served(spec) == served


def test_no_memory_for_a_batch_halves_it(folder, student, monkeypatch):
    reader = student._reader
    whole = dict(student.mark(ITEMS))
    forward = type(reader)._forward
    seen = []

    def scarce(self, rows, skipped, kept):
        seen.append(len(rows))
        if len(rows) > 2:
            raise torch.OutOfMemoryError("no room")
        return forward(self, rows, skipped, kept)

    monkeypatch.setattr(type(reader), "_forward", scarce)
    halved = dict(student.mark(ITEMS))
    assert max(seen) > 2
    assert all(close(halved[number].logprobs, whole[number].logprobs) for number in whole)


@pytest.mark.parametrize("kind", ["Mistral", "Gemma2", "GPT2", "OPT", "Bloom"])
def test_windows_scaled_logits_and_other_positions_are_read_as_whole_prompts_are(kind):
    from curate.models.students.local import LocalStudent

    torch.manual_seed(2)
    tokenizer = word_tokenizer("split")
    size = {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": len(tokenizer),
        "max_position_embeddings": 1024,
    }  # fmt: skip
    more = {
        "Mistral": {"sliding_window": 40, "num_key_value_heads": 1, "intermediate_size": 64, "initializer_range": 0.3},
        "Gemma2": {"sliding_window": 40, "num_key_value_heads": 1, "intermediate_size": 64, "head_dim": 16,
                   "initializer_range": 0.3},
        "GPT2": {"initializer_range": 0.3},
        "OPT": {"ffn_dim": 64, "word_embed_proj_dim": 32, "init_std": 0.3},
        "Bloom": {"initializer_range": 0.3},
    }[kind]  # fmt: skip
    config = getattr(transformers, f"{kind}Config")(**size, **more)
    name = f"{kind}LMHeadModel" if kind == "GPT2" else f"{kind}ForCausalLM"
    model = getattr(transformers, name)(config)
    student = LocalStudent(model, tokenizer, kind)
    assert "demonstrations are read once" in student.notes[0]
    marks = dict(student.mark(ITEMS[:6]))
    for number, item in enumerate(ITEMS[:6]):
        values, _ = plainly(model, tokenizer, item)
        assert close(marks[number].logprobs, values, 1e-4)
