"""The shapes a row can have, and how each becomes a sample."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time
from typing import Any, NamedTuple

from curate.errors import InputError
from curate.io.files import whole
from curate.text import content_id
from curate.types import Message, Sample

Row = dict[str, Any]
Turns = list[Message]

ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
}
"""Who speaks, in the spellings of messages and ShareGPT files."""

FIELDS = {
    "instruction": "instruction",
    "input": "input",
    "response": "output",
    "system": "system",
    "messages": "messages",
    "rejected": "rejected",
    "chosen_source": "chosen_source",
    "text": "text",
}
"""What a user can name a column for, and what the alpaca, the messages, the preference or the text format calls it."""

DOCUMENT = "text"
"""The format of plain documents, and its column."""

SPEAKER = re.compile(r"\n\n(Human|Assistant):")
"""Who speaks, where a conversation is written out as one text."""

OWN_ID = re.compile(r"[0-9a-f]{16}")


class WrongRowError(ValueError):
    """A row does not have the shape of its format; the message says what was expected."""


def _text(row: Mapping[str, Any], name: str) -> str:
    """Return the text in column `name`. Raises WrongRowError where it is missing or no text."""
    value = row.get(name)
    if not isinstance(value, str):
        raise WrongRowError(f"expected text in the field '{name}', found {_kind(row, name)}")
    return whole(value)


def _kind(row: Mapping[str, Any], name: str) -> str:
    return type(row[name]).__name__ if row.get(name) is not None else "nothing"


def _optional(row: Mapping[str, Any], name: str) -> str:
    return _text(row, name) if row.get(name) is not None else ""


def _turns(row: Mapping[str, Any], name: str) -> Turns:
    """Return the conversation in column `name`: a list of role and content, or of ShareGPT's from and value."""
    turns = row.get(name)
    if not isinstance(turns, (list, tuple)) or not turns:
        found = "an empty one" if isinstance(turns, (list, tuple)) else _kind(row, name)
        raise WrongRowError(f"expected a list of messages in the field '{name}', found {found}")
    return [_turn(turn, name) for turn in turns]


def _turn(turn: Any, name: str) -> Message:
    if not isinstance(turn, Mapping):
        raise WrongRowError(f"expected messages in the field '{name}', found {type(turn).__name__}")
    who, what = ("role", "content") if "role" in turn else ("from", "value")
    role = turn.get(who)
    if not isinstance(role, str) or role not in ROLES:
        raise WrongRowError(f"'{name}' has a message from {role!r}; known are {', '.join(ROLES)}")
    return {"role": ROLES[role], "content": _text(turn, what)}


def said(row: Mapping[str, Any], name: str, role: str) -> Turns:
    """Return column `name` as messages: text is one message of `role`, a list or an object is taken as it is.

    An answer that is a whole conversation written out, as in Anthropic's data, is the messages of that. Raises
    WrongRowError where it is none of these.
    """
    value = row.get(name)
    if isinstance(value, str):
        text = _text(row, name)
        if role == "assistant" and text.startswith("\n\nHuman:"):
            return _written_out(text)
        return [{"role": role, "content": text}]
    return [_turn(value, name)] if isinstance(value, Mapping) else _turns(row, name)


def _written_out(text: str) -> Turns:
    parts = SPEAKER.split(text)[1:]
    return [
        {"role": "user" if speaker == "Human" else "assistant", "content": content.strip()}
        for speaker, content in zip(parts[0::2], parts[1::2], strict=True)
    ]


def _with_system(row: Mapping[str, Any], turns: Turns) -> Turns:
    system = _optional(row, "system")
    return [{"role": "system", "content": system}, *turns] if system else turns


def join_input(instruction: str, text: str) -> str:
    """Return the first user message of an instruction with its input (which may be empty)."""
    return f"{instruction}\n\n{text}" if text else instruction


def _exchange(row: Mapping[str, Any], question: str, answer: str) -> Turns:
    return [{"role": "user", "content": _text(row, question)}, {"role": "assistant", "content": _text(row, answer)}]


def _from_messages(row: Row) -> Turns:
    return _turns(row, "messages")


def _from_preference(row: Row) -> Turns:
    chosen = said(row, "chosen", "assistant")
    before = next((name for name in ("prompt", "conversations", "question") if row.get(name)), None)
    turns = said(row, before, "user") if before else []
    # Some files repeat the prompt in `chosen`, some have it only there.
    return _with_system(row, chosen if chosen[: len(turns)] == turns else turns + chosen)


def _from_sharegpt(row: Row) -> Turns:
    return _with_system(row, _turns(row, "conversations"))


def _from_prompt(row: Row) -> Turns:
    return _with_system(row, said(row, "prompt", "user") + said(row, "completion", "assistant"))


def _from_alpaca(row: Row) -> Turns:
    user = join_input(_text(row, "instruction"), _optional(row, "input"))
    turns = [{"role": "user", "content": user}, {"role": "assistant", "content": _text(row, "output")}]
    return _with_system(row, _history(row) + turns)


def _from_response(row: Row) -> Turns:
    """Dolly's columns, and those of many like it."""
    user = join_input(_text(row, "instruction"), _optional(row, "context"))
    return _with_system(
        row, [{"role": "user", "content": user}, {"role": "assistant", "content": _text(row, "response")}]
    )


def _history(row: Row) -> Turns:
    """Return LLaMA-Factory's column of earlier exchanges, pairs of [user, assistant]."""
    turns: Turns = []
    pairs = row.get("history") or ()
    if not isinstance(pairs, (list, tuple)):
        raise WrongRowError(f"expected a list of pairs in the field 'history', found {_kind(row, 'history')}")
    for pair in pairs:
        if not (isinstance(pair, (list, tuple)) and len(pair) == 2):
            raise WrongRowError("expected pairs of text in the field 'history'")
        turns += _exchange({"user": pair[0], "assistant": pair[1]}, "user", "assistant")
    return turns


def _from_question(row: Row) -> Turns:
    return _exchange(row, "question", "answer")


def _from_text(row: Row) -> Turns:
    """Return a plain document: a response to nothing."""
    return [{"role": "assistant", "content": _text(row, "text")}]


class Shape(NamedTuple):
    """A format of rows: the columns that tell it, further columns its reader uses up, and the reader."""

    needed: tuple[str, ...]
    further: tuple[str, ...]
    reader: Callable[[Row], Turns]


SHAPES = {
    "messages": Shape(("messages",), (), _from_messages),
    # The losing answer is not used up: it stays in the sample's source.
    "preference": Shape(("chosen",), ("prompt", "conversations", "question", "system"), _from_preference),
    "sharegpt": Shape(("conversations",), ("system",), _from_sharegpt),
    "prompt_completion": Shape(("prompt", "completion"), ("system",), _from_prompt),
    "alpaca": Shape(("instruction", "output"), ("input", "system", "history"), _from_alpaca),
    "instruction_response": Shape(("instruction", "response"), ("context", "system"), _from_response),
    "question_answer": Shape(("question", "answer"), (), _from_question),
    DOCUMENT: Shape((DOCUMENT,), (), _from_text),
}
"""The formats by name; of several that fit a row the first is taken."""


def shape_of(row: Row, place: str, documents: bool = False) -> str:
    """Return the name of the format of `row`, which is that of plain documents only where `documents` are taken.

    Raises InputError, which starts with `place`, where none fits.
    """
    found = _fitting(row)
    if found is not None and (documents or found != DOCUMENT):
        return found
    known = "; ".join(
        f"{name} ({', '.join(shape.needed)})" for name, shape in SHAPES.items() if documents or name != DOCUMENT
    )
    hint = " (plain documents are for curate train sft, train fuse, eval and fuse capture)" if found else ""
    raise InputError(
        f"{place}: no known format has the fields {', '.join(sorted(map(str, row)))}{hint}; known are {known}; "
        "otherwise say which column holds what, e.g. --fields instruction=COLUMN,response=COLUMN"
    )


def _fitting(row: Row) -> str | None:
    for name, shape in SHAPES.items():
        if all(row.get(column) is not None for column in shape.needed):
            return name
    # Nothing else is called so: a document that is missing is told as one.
    return DOCUMENT if DOCUMENT in row else None


def mixed(row: Row, shape: str) -> str:
    """Return what there is to say of a row that is a document among conversations, or the other way round."""
    other = _fitting(row)
    if other is None or (other == DOCUMENT) == (shape == DOCUMENT):
        return ""
    return "; documents and conversations go into files of their own"


def renamed(row: Row, fields: Mapping[str, str], place: str) -> Row:
    """Return `row` under the names of the alpaca or messages format, as the user's `fields` ({name: column}) say.

    Raises InputError, which starts with `place`, for a column that is not there.
    """
    if missing := [column for column in fields.values() if column not in row]:
        raise InputError(f"{place}: there is no field {missing[0]!r}; there are {', '.join(sorted(map(str, row)))}")
    rest = {name: value for name, value in row.items() if name not in fields.values()}
    # A column that merely shares a name with the format's own must not be taken for it.
    for name in ("messages", "instruction", "input", "output", "system", "history", "chosen", "conversations", "text"):
        if name in rest:
            rest[f"original_{name}"] = rest.pop(name)
    return {**rest, **{FIELDS[field]: row[column] for field, column in fields.items()}}


def expanded(row: Row) -> Iterator[Row]:
    """Yield the rows that `row` stands for: a seed task ({instruction, instances}) holds several, any other is one."""
    instances = row.get("instances")
    if not (isinstance(instances, list) and "instruction" in row):
        yield row
        return
    for instance in instances:
        if not isinstance(instance, Mapping):
            raise WrongRowError("expected a list of {input, output} in the field 'instances'")
        yield {**{key: value for key, value in row.items() if key != "instances"}, **instance}


def to_sample(row: Row, name: str) -> Sample:
    """Return the sample of a row in the format `name`. Raises WrongRowError where the row is not in that format.

    A row this package wrote (`id` of 16 hex digits and `task` a list) keeps its id, task and meta. Of any other the id
    is the hash of its messages. What the format does not use up goes to `meta["source"]`; so do instruction and input
    where the first user message joins them.
    """
    shape = SHAPES[name]
    turns = shape.reader(row)
    if name != DOCUMENT and not any(turn["role"] == "user" for turn in turns):
        raise WrongRowError("expected at least one message from the user")
    own = _is_own(row)
    used = {*shape.needed, *shape.further, *(("id", "task", "meta") if own else ())}
    source = {key: _plain(value) for key, value in row.items() if key not in used and value is not None}
    if joined := row.get({"alpaca": "input", "instruction_response": "context"}.get(name, "")):
        source |= {"instruction": row["instruction"], "input": joined}
    meta: Row = _plain(row["meta"]) if own and isinstance(row.get("meta"), Mapping) else {}
    if source:
        meta["source"] = {**source, **meta.get("source", {})}
    if reasoning := _reasoning(row):
        meta.setdefault("reasoning", reasoning)
    task = tuple(row["task"]) if own else ()
    return Sample(row["id"] if own else content_id(turns), tuple(turns), task, meta)


def _is_own(row: Row) -> bool:
    task = row.get("task")
    return (
        isinstance(row.get("id"), str)
        and OWN_ID.fullmatch(row["id"]) is not None
        and isinstance(task, list)
        and all(isinstance(name, str) for name in task)
    )


def _reasoning(row: Row) -> str:
    """Return the reasoning that the last message carries, where it does."""
    turns = row.get("messages")
    last = turns[-1] if isinstance(turns, list) and turns else {}
    text = last.get("reasoning_content") if isinstance(last, Mapping) else None
    return text if isinstance(text, str) else ""


def sample_to_row(sample: Sample) -> Row:
    """Return the sample as the row that the run directory keeps: id, task, messages, meta."""
    return {"id": sample.id, "task": list(sample.task), "messages": list(sample.messages), "meta": sample.meta}


def row_to_sample(row: Row) -> Sample:
    """Return the sample of a row made by `sample_to_row`, as it was. Raises InputError for any other row."""
    match row:
        case {"id": str(name), "task": list(task), "messages": list(messages), "meta": dict(meta)}:
            if all(isinstance(message, dict) and {"role", "content"} <= message.keys() for message in messages):
                return Sample(name, tuple(messages), tuple(task), meta)
    raise InputError(
        f"the row {str(row.get('id'))[:40]!r} is no sample of a run: expected id, task (a list), messages (a list of "
        f"role and content) and meta (an object), found {', '.join(map(str, row))}"
    )


def _plain(value: Any) -> Any:
    """Return `value` as JSON can hold it: files bring dates, decimals, bytes, not-a-number and more."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return value if isinstance(value, (str, int)) or value is None else str(value)
