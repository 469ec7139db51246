import json

from curate.stages.exam.sheet import Rejected, Sheet, Span
from curate.types import Question


def test_a_sheet_survives_json():
    question = Question("s1/0", "Which?", ("a", "b", "c", "d"), 2, "root/task", "It is c.")
    sheet = Sheet(
        "s1",
        "ready",
        True,
        "a date",
        ("when",),
        "It is c.",
        (Span("a/b.jsonl", 3, 9, 2),),
        (question,),
        (Rejected(question, "several_right", "b is right too", False),),
        ("aa", "bb"),
    )
    assert Sheet.from_dict(json.loads(json.dumps(sheet.to_dict()))) == sheet
    unknown = Sheet("s2", "unknown", failure="unreadable", detail="no JSON")
    assert Sheet.from_dict(json.loads(json.dumps(unknown.to_dict()))) == unknown
