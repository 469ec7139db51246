"""A run in which everything that a model may write tries to become something else than text."""

from __future__ import annotations

import json
from pathlib import Path

from law_run import EXPLORE, LAW, call

EVIL = (
    "<script>document.title = 'run'</script>",
    "</script><script>document.title = 'run'</script>",
    "<img src=x onerror=\"document.title='run'\">",
    "<a href=\"javascript:document.title='run'\">press</a> [press](javascript:alert(1))",
    "{{7*7}} ${7*7} <!-- policy --> <!-- data --> {% raw %}",
    "one\u2028two\u2029three \ud83d <svg onload=\"document.title='run'\">",
    '<iframe src="https://example.org/frame"></iframe><link rel=stylesheet href=https://example.org/x.css>',
    r"$\href{javascript:document.title='run'}{x}$ $\url{https://example.org}$ $\includegraphics{https://example.org/x.png}$",
    r"$\htmlData{a=b}{x}$ $\class{top}{x}$ $\style{position:fixed}{x}$ $x^2 + \frac{1}{2}$ costs \$5 or $6",
)


def hostile(folder: Path) -> Path:
    """Make the small run in `folder`, write evil into every text of it, and return its folder."""
    (folder / "law.yaml").write_text(LAW, encoding="utf-8")
    done = call(folder, *EXPLORE)
    assert done.returncode == 0, done.stderr
    run = folder / "runs" / "law"
    tree = json.loads((run / "tree.json").read_text(encoding="utf-8"))
    for place, task in enumerate(tree["tasks"]):
        task["name"] = f"{EVIL[place]} {place}"
        task["description"] = EVIL[-1 - place]
    (run / "tree.json").write_text(json.dumps(tree), encoding="utf-8")
    for path in run.glob("accepted.*.jsonl"):
        _rewrite(path, [task["name"] for task in tree["tasks"]])
    summary = next(run.glob("accepted.*.summary.json"))
    counts = json.loads(summary.read_text(encoding="utf-8"))
    counts["dropped"] = {name.replace("forbidden_word", EVIL[0]): n for name, n in counts["dropped"].items()}
    summary.write_text(json.dumps(counts), encoding="utf-8")
    settings = (run / "run.yaml").read_text(encoding="utf-8")
    (run / "run.yaml").write_text(
        settings.replace("  domain: law", f"  domain: {json.dumps(EVIL[1])}"), encoding="utf-8"
    )
    return run


def _rewrite(path: Path, names: list[str]) -> None:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for place, row in enumerate(rows):
        row["task"] = names[:1]
        for turn in row["messages"]:
            turn["content"] = f"{EVIL[place % len(EVIL)]} {turn['content']} {EVIL[(place + 7) % len(EVIL)]}"
        if row.get("dropped", {}).get("reason") == "forbidden_word":
            row["dropped"] |= {"reason": EVIL[0], "value": EVIL[2], "neighbour": None}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
