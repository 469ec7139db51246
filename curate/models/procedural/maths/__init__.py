"""The mathematics of each branch: functions from a draw to the facts of a problem, without a word of language."""
