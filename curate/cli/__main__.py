"""`python -m curate.cli`: the command line without its script."""

from curate.cli import main

main()
