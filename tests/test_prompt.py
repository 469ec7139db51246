r"""Prompt files: loading, rendering, asking and reading replies; LaTeX in JSON is the hard part."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import ConfigError, ParseError
from curate.prompt import ask_for, load_prompt, prompt_names, to_json
from curate.prompt.reply import _CLEAN, _STRING, AMBIGUOUS, COMMANDS, _fix_string
from curate.types import Completion, Failure, Request

ITEMS = """\
---
variables: [topic, count, max_chars]
optional: [hint]
hidden: [seed]
reply:
  type: object
  additionalProperties: false
  required: [items]
  properties:
    items:
      type: array
      minItems: 1
      maxItems: $count
      items: {type: string, minLength: 1, maxLength: $max_chars}
max_tokens: 50
temperature: 0.5
---
[system]
You list things in {{ language_name }} ({{ language }}).
[user]
List {{ count }} of {{ topic | tojson }}.
{% if hint %}
{{ hint }}
{% endif %}
"""
GIVEN = {"topic": "birds", "count": 2, "max_chars": 9}


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a prompt file and loads it."""

    def load(text: str = ITEMS, name: str = "list", language: str = "en"):
        (tmp_path / f"{name}.j2").write_text(text)
        return load_prompt(name, language, tmp_path)

    return load


def problems(load) -> list[str]:
    """Return the lines of the ConfigError that a call raises, each from the file name on."""
    with pytest.raises(ConfigError) as error:
        load()
    return [line[line.find("list.j2") :] for line in str(error.value).splitlines()]


# Rendering


def test_a_prompt_renders_its_messages_and_fills_its_schema(write):
    prompt = write()
    request = prompt.request("teacher", attempt="1/a/2", stage="explore", seed=7, **GIVEN)
    assert request.messages == (
        {"role": "system", "content": "You list things in English (en)."},
        {"role": "user", "content": 'List 2 of "birds".'},
    )
    assert (request.role, request.attempt, request.stage, request.prompt) == ("teacher", "1/a/2", "explore", "list")
    assert (request.max_tokens, request.temperature) == (50, 0.5)
    assert request.variables == {"language": "en", "seed": 7, **GIVEN}
    items = request.schema["properties"]["items"]
    assert (items["maxItems"], items["items"]["maxLength"]) == (2, 9)
    assert request.schema["additionalProperties"] is False
    other = prompt.request("judge", temperature=0.0, max_tokens=3, seed=7, **GIVEN, hint="Be brief.")
    assert (other.role, other.temperature, other.max_tokens) == ("judge", 0.0, 3)
    assert other.messages[1]["content"] == 'List 2 of "birds".\nBe brief.'


def test_a_language_has_a_file_of_its_own_or_the_plain_one(write, tmp_path):
    (tmp_path / "list.zh.j2").write_text(ITEMS.replace("You list things", "你列出事物"))
    assert write(language="zh").render(**GIVEN)[0]["content"] == "你列出事物 in Chinese (zh)."
    assert write(name="other", language="zh").render(**GIVEN)[0]["content"] == "You list things in Chinese (zh)."
    assert prompt_names(tmp_path) == ["list", "other"]


def test_the_fingerprint_is_that_of_the_text(write):
    first = write().fingerprint
    assert len(first) == 16
    assert write().fingerprint == first
    assert write(ITEMS + "\nMore.").fingerprint != first


@pytest.mark.parametrize(
    "text", ["{{ 7*7 }}", "{% for x in y %}", "{# note #}", "[user]", "---", "$count", "a\n[system]\nb"]
)
def test_a_variable_is_never_a_template_nor_a_new_message(write, text):
    prompt = write(ITEMS.replace(" | tojson", ""))
    messages = prompt.render(**{**GIVEN, "topic": text})
    assert [message["role"] for message in messages] == ["system", "user"]
    assert messages[1]["content"] == f"List 2 of {text}."


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a\n```\nb", r'"a\n```\nb"'),
        ("a < b & 'c'", "\"a < b & 'c'\""),
        (r"\frac", r'"\\frac"'),
        ("题目", '"题目"'),
        ("a\u2028b\x85c\ud800", r'"a\u2028b\u0085c\ud800"'),
        ({"instruction": "x"}, '{"instruction": "x"}'),
    ],
)
def test_data_is_one_line_of_json_that_no_fence_can_be_broken_from(value, shown):
    assert to_json(value) == shown
    assert len(to_json(value).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("{{ topic.__class__.__mro__ }}", 18, "access to attribute '__class__' of 'str' object is unsafe."),
        ("{{ ''.__class__ }} {{ topic }}", 18, "access to attribute '__class__' of 'str' object is unsafe."),
        ("{{ topic.nmae }}", 18, "'str object' has no attribute 'nmae'"),
        ("{{ topic + 1 }}", 18, 'can only concatenate str (not "int") to str'),
        ("a\n{{ topic }}{{ 1 // 0 }}", 19, "integer division or modulo by zero"),
        ("{% for x in range(10 ** 9) %}{{ topic }}{% endfor %}", 18, "Range too big. The sandbox blocks ranges larger"),
    ],
)
def test_what_a_text_may_not_or_cannot_do_fails_with_its_line(write, text, line, message):
    prompt = write(f"---\nvariables: [topic]\nreply: text\nmax_tokens: 9\n---{chr(10) * 12}[user]\n{text}\n")
    (problem,) = problems(lambda: prompt.render(topic="x"))
    assert problem.startswith(f"list.j2:{line}: cannot be rendered: {message}")


def test_a_sandboxed_list_cannot_be_changed(write):
    prompt = write("---\nvariables: [topic]\nreply: text\nmax_tokens: 9\n---\n[user]\n{{ topic.append(1) }}\n")
    topic = []
    assert "access to attribute 'append' of 'list' object is unsafe" in problems(lambda: prompt.render(topic=topic))[0]
    assert topic == []


def test_missing_and_unknown_variables_are_named_with_their_line(write):
    prompt = write()
    declared = "(declared: topic, count, max_chars, hint, seed)"
    assert problems(lambda: prompt.render(topic="x", cuont=2, max_chars=3)) == [
        f"list.j2:21: variable 'count' is not given {declared}",
        f"list.j2:2: there is no variable 'cuont'; did you mean 'count'? {declared}",
    ]
    assert problems(lambda: prompt.request("teacher", **GIVEN)) == [
        f"list.j2:4: variable 'seed' is not given {declared}"
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "{{ topic |",
            "{{ topci |",
            [
                "list.j2:21: variable 'topci' is used and not declared; did you mean 'topic'?"
                " (declared: topic, count, max_chars, hint, seed)",
                "list.j2:2: variable 'topic' is declared and never used;"
                " put it under hidden if a model reads it without prose",
            ],
        ),
        (
            "$max_chars",
            "$max_char",
            [
                "list.j2:5: the schema's '$max_char' is not declared; did you mean 'max_chars'?"
                " (declared: topic, count, max_chars, hint, seed)",
                "list.j2:2: variable 'max_chars' is declared and never used;"
                " put it under hidden if a model reads it without prose",
            ],
        ),
        (
            "max_tokens: 50\ntemperature: 0.5",
            "max_token: 50\ntemperature: hot",
            [
                "list.j2:15: max_token is not a key of a prompt; did you mean 'max_tokens'?"
                " (known: variables, optional, hidden, reply, max_tokens, temperature)",
                "list.j2:2: max_tokens is missing",
                "list.j2:16: temperature must be a number from 0 to 2 or null, not 'hot'",
            ],
        ),
        ("max_tokens: 50", "max_tokens: 0", ["list.j2:15: max_tokens must be a whole number of at least 1, not 0"]),
        ("hidden: [seed]", "hidden: [a b]", ["list.j2:4: hidden must be a list of names, not ['a b']"]),
        ("type: array", "type: arary", ["list.j2:5: reply is not a valid JSON schema: Unknown type"]),
        (
            "  type: object",
            "  type: array",
            ["list.j2:5: reply must be 'text' or a JSON schema with 'type: object', not {'type': 'array'"],
        ),
        (
            "{% endif %}",
            "",
            ["list.j2:23: not valid Jinja: Unexpected end of template. Jinja was looking for the following"],
        ),
        ("{{ count }}", "{{ count }", ["list.j2:21: not valid Jinja: unexpected '}'"]),
        ("[system]\n", "", ["list.j2:18: the text must begin with a line '[system]' or '[user]'"]),
        ("optional: [hint]", "optional: [hint", ["list.j2:4: not valid YAML: expected ',' or ']', but got ':'"]),
        ("---\nvar", "var", ["list.j2:1: a prompt file begins with a front matter between two lines '---'"]),
        ("variables: [topic", "variables: [topic", []),
    ],
)
def test_a_wrong_file_is_named_with_line_and_remedy(write, old, new, expected):
    assert old in ITEMS
    if not expected:
        write(ITEMS.replace(old, new))
        return
    found = problems(lambda: write(ITEMS.replace(old, new, 1) if old != "$max_chars" else ITEMS.replace(old, new)))
    assert [line[: len(wanted)] for line, wanted in zip(found, expected, strict=True)] == expected


def test_a_prompt_that_is_not_there_has_a_neighbour(tmp_path):
    with pytest.raises(
        ConfigError, match=r"there is no prompt 'explore/lookahed' in .*; did you mean 'explore/lookahead'\?"
    ):
        load_prompt("explore/lookahed")


# Reading replies


def parse(write, reply: str):
    return write().parse(reply)


@pytest.mark.parametrize(
    "reply",
    [
        '{"items": ["a", "b"]}',
        '```json\n{"items": ["a", "b"]}\n```',
        'Sure! With {"n": 2} in mind, and {x}:\n```\n{"items": ["a", "b"]}\n```\nIs {that} all?',
        '<think>{"items": ["no"]}</think>\n{"items": ["a", "b"]}',
        '{"items": ["a", "b"], "note": "more than was asked"}',
    ],
)
def test_the_object_is_found_in_fences_prose_and_thought(write, reply):
    assert parse(write, reply)["items"] == ["a", "b"]


def test_what_goes_beyond_a_bound_is_left_to_the_rules_and_to_the_caller(write):
    reply = {"items": ["a" * 500, "b", "c", "d"]}
    assert parse(write, json.dumps(reply)) == reply


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", "there is no JSON object in the reply"),
        ("I cannot do that.", "there is no JSON object in the reply"),
        ('["a", "b"]', "there is no JSON object in the reply"),
        ('{"items": ["a", "b', "the JSON object is cut off"),
        ('{"items": ["a", "b"', "the JSON object is cut off"),
        ('{"items": ["a", {"items": ["inner"]}', "the JSON object is cut off"),
        ('{"items": ["a" "b"]}', 'not valid JSON: Expecting \',\' delimiter, near \'{"items": ["a" "b"]}\''),
        ('{"items": [NaN]}', "not valid JSON: NaN is not a JSON value"),
        ('{"items": []}', "the reply.items must contain at least 1 items"),
        ('{"items": [""]}', "the reply.items[0] must be longer than or equal to 1 characters"),
        ('{"items": [3]}', "the reply.items[0] must be string"),
        ('{"itms": ["a"]}', "the reply must contain ['items'] properties"),
        ('{"items": ["a"]' + "]" * 3, "not valid JSON: Expecting ',' delimiter"),
        ('{"items": ' + "[" * 100_000, "not valid JSON: "),
        ('{"items": [' + "1" * 5000 + "]}", "not valid JSON: "),
    ],
)
def test_what_cannot_be_read_says_why(write, reply, reason):
    with pytest.raises(ParseError) as error:
        parse(write, reply)
    assert str(error.value).startswith(reason)


@pytest.mark.parametrize(
    ("inside", "meant"),
    [
        # Escapes that are no JSON.
        (r"\( x \)", r"\( x \)"),
        (r"\[ x \]", r"\[ x \]"),
        (r"\alpha \sqrt{2} \% \{", r"\alpha \sqrt{2} \% \{"),
        (r"\underline{x} \u{a}", r"\underline{x} \u{a}"),
        (r"it\'s", "it's"),
        (r"\d+\w", r"\d+\w"),
        # Escapes that are JSON and mean something else.
        (r"\frac{1}{2}", r"\frac{1}{2}"),
        (r"\boxed{3}", r"\boxed{3}"),
        (r"\beta", r"\beta"),
        (r"3 \times 4", r"3 \times 4"),
        (r"\theta, \text{if } \tan x, \tfrac12", r"\theta, \text{if } \tan x, \tfrac12"),
        (r"\rho \right) \rangle", r"\rho \right) \rangle"),
        (r"\nabla f, a \notin B", r"\nabla f, a \notin B"),
        (r"$\nu$", r"$\nu$"),
        (r"\(\nu \to \infty\)", r"\(\nu \to \infty\)"),
        (r"$a \neq b$ and $\neg c$", r"$a \neq b$ and $\neg c$"),
        (r"the mass \nu is \alpha", r"the mass \nu is \alpha"),
        # The same, written as JSON wants it.
        (r"\\frac{1}{2} \\times \\nu", r"\frac{1}{2} \times \nu"),
        (r"\\( x \\)", r"\( x \)"),
        (r"$\\alpha$\nu is known", "$\\alpha$\nu is known"),
        # Half of the one and half of the other.
        (r"\\frac{1}{2} \times 3", r"\frac{1}{2} \times 3"),
        # Rows of matrices.
        (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}"),
        (r"\begin{cases} a \\-b \\\hline c \end{cases}", r"\begin{cases} a \\-b \\\hline c \end{cases}"),
        (r"\begin{cases} a \\\\ b \end{cases}", r"\begin{cases} a \\ b \end{cases}"),
        (r"\\begin{pmatrix} 1 \\\\ 3 \\end{pmatrix}", r"\begin{pmatrix} 1 \\ 3 \end{pmatrix}"),
        # Real white space, quotes and code points stay.
        (r"one\ntwo\n\nthree", "one\ntwo\n\nthree"),
        (r"Step 1:\nnow\tthen\rrest", "Step 1:\nnow\tthen\rrest"),
        (r"total = 0\nmid = 3\nnu = 1\ni = 2\n\tto = 4", "total = 0\nmid = 3\nnu = 1\ni = 2\n\tto = 4"),
        (r"Is it so?\nneg is not\nexists", "Is it so?\nneg is not\nexists"),
        (r"\nFirst, \nnext", "\nFirst, \nnext"),
        ("one\ntwo\tthree", "one\ntwo\tthree"),
        (r"say \"\\\\\" \/ \u00e9 \ud83d\ude00", 'say "\\\\" / é 😀'),
        (r"half a pair: \ud83d.", "half a pair: \ufffd."),
        (r"C:\\new\\table", r"C:\new\table"),
    ],
)
def test_latex_survives_and_white_space_stays(write, inside, meant):
    assert parse(write, '{"items": ["' + inside + '"]}') == {"items": [meant]}


def _latex_free(text: str) -> bool:
    runs = [what.replace("\t", "t").replace("\n", "n") for what in re.findall(r"[\t\n][A-Za-z]+", text)]
    return not any(COMMANDS.fullmatch(run) or AMBIGUOUS.fullmatch(run) for run in runs)


PLAIN = st.text(st.characters(exclude_characters="\\\b\f\r", exclude_categories=["Cs"])).filter(_latex_free)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(PLAIN, st.one_of(PLAIN, st.integers(), st.booleans(), st.none(), st.lists(PLAIN))), st.booleans()
)
def test_json_without_latex_is_read_as_it_was_written(value, ascii_only):
    prompt = _any_object()
    for text in (json.dumps(value, ensure_ascii=ascii_only), f"Here:\n```json\n{json.dumps(value, indent=1)}\n```"):
        assert prompt.parse(text) == value


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="\\{}\"[]:,abtnrfu'0$( \n"))
def test_any_text_is_read_or_refused_and_never_crashes(text):
    prompt = _any_object()
    try:
        assert isinstance(prompt.parse(text), dict)
    except ParseError as error:
        assert str(error)


PIECES = [
    "\\",
    "\\\\",
    "frac",
    "nu",
    "n",
    "t",
    "r",
    "b",
    "u00e9",
    "ud83d",
    "ude00",
    "to",
    "x",
    " ",
    "$",
    "(",
    '\\"',
    "begin{",
    "'",
    "/",
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_the_quick_look_lets_pass_only_what_the_thorough_one_leaves_alone(inside):
    literal = f'"{inside}"'
    if _CLEAN.fullmatch(literal):
        assert _STRING.sub(_fix_string, literal) == literal


def _any_object(_made: list = []):  # noqa: B006
    if not _made:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "any.j2").write_text(
                "---\nvariables: []\nreply: {type: object}\nmax_tokens: 9\n---\n[user]\nx\n"
            )
            _made.append(load_prompt("any", "en", Path(folder)))
    return _made[0]


def test_a_reply_of_text_is_stripped_and_must_not_be_empty():
    prompt = load_prompt("generate/solve")
    assert prompt.parse(" \\boxed{3}\n") == r"\boxed{3}"
    with pytest.raises(ParseError, match="the reply is empty"):
        prompt.parse(" \n")


# Asking


def answers(*completions: Completion | str):
    """Return an `ask` that gives these completions one after the other, and the list of requests it got."""
    asked: list[Request] = []

    async def ask(request: Request) -> Completion:
        answer = completions[len(asked)]
        asked.append(request)
        return Completion(text=answer) if isinstance(answer, str) else answer

    return ask, asked


def outcome(write, *completions: Completion | str):
    prompt = write()
    ask, asked = answers(*completions)
    request = prompt.request("teacher", attempt="0/t/1", stage="explore", seed=1, **GIVEN)
    return asyncio.run(ask_for(ask, prompt, request)), asked


def test_a_readable_reply_takes_one_call(write):
    reply, asked = outcome(write, '{"items": ["a"]}')
    assert (reply.value, reply.failure, len(reply.completions), len(asked)) == ({"items": ["a"]}, None, 1, 1)


def test_an_unreadable_reply_is_repaired_once_with_the_problem_and_the_reply_shown(write):
    reply, (first, repair) = outcome(write, 'Well: {"items": []}', '{"items": ["a"]}')
    assert (reply.value, reply.failure, len(reply.completions)) == ({"items": ["a"]}, None, 2)
    assert repair.messages[:2] == first.messages
    shown = repair.messages[2]["content"]
    assert 'The problem: "the reply.items must contain at least 1 items"' in shown
    assert '```json\n"Well: {\\"items\\": []}"\n```' in shown
    assert '"maxItems": 2' in shown
    assert (repair.prompt, repair.role, repair.stage, repair.attempt) == ("repair", "teacher", "explore", "0/t/1")
    assert (repair.schema, repair.max_tokens) == (first.schema, 50)


def test_a_reply_that_stays_unreadable_is_a_failure_with_both_reasons(write):
    reply, asked = outcome(write, "no", '{"items": [1]}')
    assert reply.value is None
    assert reply.failure == Failure(
        "unreadable",
        "list: there is no JSON object in the reply; after one repair: the reply.items[0] must be string",
    )
    assert (len(reply.completions), len(asked)) == (2, 2)


def test_a_reply_that_was_cut_is_truncated_and_not_repaired(write):
    reply, asked = outcome(write, Completion(text='{"items": ["a', finish_reason="length"))
    assert reply.failure == Failure("truncated", "list: the reply was cut at max_tokens=50; the JSON object is cut off")
    assert len(asked) == 1


def test_a_reply_that_reached_the_limit_and_is_whole_counts(write):
    reply, _ = outcome(write, Completion(text='{"items": ["a"]}', finish_reason="length"))
    assert (reply.value, reply.failure) == ({"items": ["a"]}, None)


def test_a_failure_of_the_model_is_handed_on(write):
    refused = Failure("refusal", "the model refused")
    reply, asked = outcome(write, Completion(failure=refused))
    assert (reply.value, reply.failure, len(asked)) == (None, refused, 1)


def test_a_failed_repair_is_the_failure_if_it_may_go_away_and_unreadable_if_not(write):
    budget = Failure("budget", "10 calls are spent")
    assert outcome(write, "no", Completion(failure=budget))[0].failure == budget
    too_long = Completion(failure=Failure("context_length", "too long"))
    assert outcome(write, "no", too_long)[0].failure == Failure(
        "unreadable", "list: there is no JSON object in the reply; the repair failed"
    )
