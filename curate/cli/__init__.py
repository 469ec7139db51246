"""The command line: verbs and exit codes, nothing else.

Exit codes: 0 done, 1 failed, 2 bad input, 3 fewer rows than asked. Only the verb that runs is imported, so that
`curate --help` answers at once.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

from curate.errors import CurateError

GROUPS = {
    "Make a dataset": {
        "explore": ("curate.cli.explore:explore", "From a domain name to an exported dataset: the whole job."),
        "try": ("curate.cli.trial:try_", "A few of its calls: what a run gives and costs."),
        "plan": ("curate.cli.plan:plan", "What a run will take: calls, tokens, money. Free."),
        "check": ("curate.cli.check:check", "Is a domain file right? Mistakes by their line. Free."),
        "tree": ("curate.cli.tree:tree", "Look at a task tree and change it by hand."),
    },
    "Look at what was made": {
        "show": ("curate.cli.show:show", "Print samples: kept ones, or dropped ones with their reasons."),
        "why": ("curate.cli.why:why", "Why a sample is in or out: prompt, calls, cost, verdicts."),
        "report": ("curate.cli.report:report", "Write report.html: tree, map, yield and cost on one page."),
        "view": ("curate.cli.view:view", "A local page: browse, search, review, change the task tree."),
        "stats": ("curate.cli.stats:stats", "How diverse datasets are, side by side: table, JSON, picture."),
        "diff": ("curate.cli.diff:diff", "Two runs side by side: settings, tree, yield, figures, cost."),
    },
    "Work on any dataset": {
        "filter": ("curate.cli.dataset:filter_", "Apply a domain's rules."),
        "dedup": ("curate.cli.dedup:dedup", "Drop exact, ROUGE-L and semantic near-duplicates."),
        "decontaminate": ("curate.cli.decontaminate:decontaminate", "Drop samples that contain benchmark text."),
        "exam": ("curate.cli.exam:exam", "Find what a student model does not know, and treat it."),
        "export": ("curate.cli.export:export", "Write it in a training format, or push it to the Hub."),
        "pull": ("curate.cli.export:pull", "Bring one from the Hub, for the other verbs to work on."),
    },
    "Make a model": {
        "fuse": ("curate.cli.fuse:fuse", "Several models into one: collect, build, capture, align, run."),
        "train": ("curate.cli.train:train", "Fine-tune, train on preferences, fuse: sft, dpo, wrpo, fuse."),
        "eval": ("curate.cli.eval:eval_", "Measure models side by side: held-out loss, right answers."),
        "merge": ("curate.cli.merge:merge", "Put models that were trained from the same one into one."),
    },
}
"""The verbs by the work they do, each with where its command lies and its line in `curate --help`."""

VERBS = {name: verb for group in GROUPS.values() for name, verb in group.items()}


class Verbs(click.Group):
    """A group that imports a verb's module when the verb is used, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of the work."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one verb."""
        if cmd_name not in VERBS:
            return None
        module, name = VERBS[cmd_name][0].split(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest the nearest verb for one that does not exist."""
        import difflib

        if args and args[0] not in VERBS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], VERBS, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise click.UsageError(f"no verb '{args[0]}'{hint} (there are {', '.join(VERBS)})")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; a reader that has gone (head, less) ends it without an error."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            _forget_stdout()
            ctx.exit(0)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs with their lines, without importing any of them."""
        width = max(map(len, VERBS))
        for title, verbs in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), line) for name, (_, line) in verbs.items()])


EPILOG = """\b
Examples:
  curate explore --domain math --rows 1000
  curate try "tenancy law" --teacher openai:gpt-5-mini
  curate explore --domain "tenancy law" --teacher openai:gpt-5-mini
  curate view runs/math
  curate why runs/math:12
  curate stats runs/math data.jsonl
  curate dedup data.jsonl --out clean.jsonl
  curate exam data.jsonl --student Qwen/Qwen3-0.6B --teacher openai:gpt-5-mini
  curate export runs/math --push USER/NAME --licence apache-2.0
  curate train sft runs/math --model Qwen/Qwen3-0.6B --out models/math

\b
Running a command again resumes it: every reply that was paid for is in the
run's ledger. `curate VERB --help` shows examples and the files that come out.
Exit codes: 0 done, 1 failed, 2 bad input, 3 fewer rows than asked.
"""


@click.group(
    cls=Verbs,
    subcommand_metavar="VERB [ARGS]...",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(package_name="curate-llm", message="curate %(version)s")
def root() -> None:
    """From one domain name to a trained model: explore, generate, filter, examine, export, train, merge."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code; a known error is one line on stderr, never a traceback."""
    try:
        code = root(args=arguments, prog_name="curate", standalone_mode=False)
        sys.stdout.flush()
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except CurateError as error:
        from curate.cli.text import readable

        # A model's words can stand in a message.
        click.echo(f"curate: {readable(str(error))}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        _forget_stdout()
        sys.exit(0)
    # click gives an exit code back where the verb set one, and else whatever the verb returned.
    sys.exit(code if isinstance(code, int) else 0)


def _forget_stdout() -> None:
    """Let what is still to be written to a closed pipe vanish; Python flushes at exit and would complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
