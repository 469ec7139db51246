"""Figures of a dataset and of the run that made it."""
