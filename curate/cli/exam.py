"""`curate exam`: what of a dataset a student does not know, and the dataset treated for it."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curate.cli.dataset import fields_option
from curate.cli.display import Meter, counted
from curate.cli.options import WHOLE, output_options
from curate.cli.text import readable

if TYPE_CHECKING:
    from curate.pipeline.exam_plan import ExamPlan

EPILOG = """\b
Examples:
  curate exam data.jsonl --student Qwen/Qwen3-0.6B --treat discard \\
      --teacher openai:gpt-5-mini
  curate exam data.jsonl --student ./my-model --treat open_book \\
      --treat refuse --teacher openai:NAME@http://HOST:8000/v1 --documents d/
  curate exam data.jsonl --student ./small --student ./big --teacher vllm:NAME
  curate exam --questions mmlu.parquet --student ./my-model
  curate exam data.jsonl ... --threshold 0.6      decided anew, nothing asked

\b
What happens (a plan with calls and cost is shown before the first call):
1 The teacher says which samples need factual knowledge, writes that knowledge
  (from --documents where they have it), and questions with four options; the
  judge checks all of it.
2 Each student takes a part of the exam with the knowledge in the prompt: below
  80 % right it cannot take this exam, and nothing is treated for it.
3 It takes the exam without the knowledge.
4 A sample is known (consistent) by the rule; what is not known is treated:
    open_book  the knowledge is put before the instruction
    discard    the sample is dropped
    refuse     the response says, in the sample's language, that it is not
               known (--refusals FILE: {en: [wording, ...], de: [...]})

\b
--rule mean   The geometric mean of the probabilities that the student gives
              the right options is above --threshold (0.5); an even guess has
              0.25. A student without log-probabilities is judged by votes.
--rule votes  At least --threshold (2/3) of the questions are answered right,
              as in the paper (KCA, Wan et al. 2024).
--by          How options are compared: by letter, by text (the option's own
              words, per token), or both: then the way in which the student
              gets more right with the knowledge decides.

\b
A question file (--questions, --shots) has the columns question, choices,
answer and, where there are any, subject, as MMLU's have, in any kind of file.

\b
Files: FILE.exam.TREATMENT.jsonl (with several students FILE.exam.STUDENT.
TREATMENT.jsonl) has the kept samples, NAME.dropped.jsonl the dropped ones,
FILE.exam.set_aside.jsonl those that could not be examined: they are in no
treatment's dataset, so that several can be compared. Kept, dropped and set
aside are all that came in. FILE.exam/ holds exam.html, every sample's scores
(scores.jsonl) and all that was paid for: the same command again resumes, and
another threshold, rule or treatment asks nothing. Exit codes: 0 done, 1 a
student cannot take the exam, 2 bad input, 3 stopped before the end.
"""


@click.command(epilog=EPILOG)
@click.argument("file", metavar="[FILE]", required=False)
@click.option("--student", metavar="MODEL", multiple=True, required=True,
              help="The model to be trained: a name or folder, openai:NAME@URL, vllm:NAME. Repeatable.")  # fmt: skip
@click.option("--treat", metavar="T", multiple=True,
              help="open_book, discard or refuse. Repeatable; without it, the dataset is examined only.")  # fmt: skip
@fields_option
@click.option("--out", metavar="FILE", help="Where the kept samples go, or - for stdout.  [default: FILE.exam.T.jsonl]")
@click.option(
    "--teacher",
    metavar="SPEC",
    help="The model that writes the exam of a dataset: openai:NAME[@URL], vllm:NAME, hf:NAME.",
)
@click.option("--judge", metavar="SPEC", help="The model that checks it; the teacher unless named.")
@click.option("--documents", metavar="DIR", type=click.Path(path_type=Path),
              help="Ground the knowledge in these texts (.txt, .md, .jsonl).")  # fmt: skip
@click.option("--questions", metavar="FILE", type=click.Path(path_type=Path),
              help="Take this exam instead of writing one: accuracy per subject; no FILE is needed.")  # fmt: skip
@click.option("--questions-per-sample", metavar="N", type=int, default=3, show_default=True, help="1 to 8.")
@click.option("--orders", metavar="N", type=int, default=4, show_default=True,
              help="Orders of the options that each question is put in.")  # fmt: skip
@click.option("--shots", metavar="FILE", type=click.Path(path_type=Path),
              help="Demonstrations: a question file. Shipped ones unless given.")  # fmt: skip
@click.option("--demonstrations", metavar="K", type=int, default=5, show_default=True,
              help="How many demonstrations come before each question.")  # fmt: skip
@click.option(
    "--precision",
    metavar="P",
    help="Of a student in process: float32, bfloat16 or float16.  [default: float32; on a GPU that of the weights]",
)
@click.option("--rule", type=click.Choice(["mean", "votes"]), default="mean", show_default=True,
              help="What makes a sample known; see below.")  # fmt: skip
@click.option(
    "--threshold", metavar="X", type=float, help="Where the rule draws the line.  [default: mean 0.5, votes 2/3]"
)
@click.option("--by", type=click.Choice(["letter", "text", "both"]), default="both", show_default=True,
              help="How options are compared; see below.")  # fmt: skip
@click.option("--language", metavar="L", default="en", show_default=True, help="Of the exam: en or zh.")
@click.option(
    "--refusals",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Wordings of your own for refuse, YAML; see below.",
)
@click.option(
    "--seed", metavar="S", type=int, default=0, show_default=True, help="Draws orders of options and wordings."
)
@click.option("--budget-calls", metavar="N", type=WHOLE, help="Never make more calls than this, in this folder.")
@click.option("--budget-tokens", metavar="N", type=WHOLE, help="Never use more tokens than this, in and out together.")
@click.option("--budget-usd", metavar="X", type=click.FloatRange(min=0), help="Never spend more; needs known prices.")
@output_options
def exam(file: str | None, questions: Path | None, quiet: bool, as_json: bool, out: str | None, **options: Any) -> None:
    """Find what a student model does not know of a dataset, and treat it: Knowledge Consistent Alignment.

    FILE is anything that curate reads (see `curate filter --help`), a run's folder too.
    """
    if (file is None) == (questions is None):
        raise click.UsageError(
            "give the dataset to examine, or --questions FILE for an exam that exists; one of the two"
        )
    options["students"] = options.pop("student")
    if questions is not None:
        from curate.cli.exam_questions import take_questions

        take_questions(questions, out, quiet=quiet, as_json=as_json, **options)
        return
    _examine(str(file), out, quiet, as_json, options)


def _examine(file: str, out: str | None, quiet: bool, as_json: bool, options: dict[str, Any]) -> None:
    from curate.cli.exam_summary import plan_lines, summary
    from curate.pipeline.exam import exam_dataset
    from curate.pipeline.exam_setup import Options

    piped = out == "-"
    asked = Options(**options, out=Path(out) if out and not piped else None)

    def planned(plan: ExamPlan) -> None:
        if not quiet:
            for line in plan_lines(plan):
                click.echo(readable(line), err=True)

    with counted("exam", quiet=quiet) as meter:
        report = exam_dataset(
            file,
            asked,
            stream=sys.stdout if piped else None,
            tick=meter.tick,
            phase=lambda name, unit: begin(meter, name, unit),
            planned=planned,
        )
    if as_json:
        click.echo(json.dumps(report.as_json(), ensure_ascii=False), err=piped)
    elif not (piped and quiet):
        for line in summary(report):
            click.echo(readable(line), err=piped)
    click.get_current_context().exit(report.exit_code)


def begin(meter: Meter, name: str, unit: str) -> None:
    """Let a part of the work have a time left of its own."""
    meter.name, meter.unit = f"exam: {name}", unit or "samples"
    meter.began, meter.done, meter.total = time.monotonic(), 0, None
