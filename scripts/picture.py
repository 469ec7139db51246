"""Draw what `curate explore --domain math --rows 1000` prints, and a branch of its tree, as docs/explore.svg.

python scripts/picture.py [ROWS=1000]
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

OUT = Path(__file__).parents[1] / "docs" / "explore.svg"
WIDTH = 118


def run(command: str, folder: str) -> str:
    """Run a curate command in a folder and return what it printed."""
    words = [sys.executable, "-m", "curate.cli", *command.split()[1:]]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True).stdout


def main(rows: int) -> None:
    """Write the picture."""
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    with tempfile.TemporaryDirectory() as folder:
        for command in (
            f"curate explore --domain math --rows {rows} --quiet",
            "curate show runs/math --limit 2",
            "curate show runs/math --dropped --stage rouge --limit 1",
        ):
            console.print(Text(f"$ {command}", style="bold green"))
            console.print(Text(run(command, folder).rstrip() + "\n"))
    OUT.parent.mkdir(exist_ok=True)
    console.save_svg(str(OUT), title="curate")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
