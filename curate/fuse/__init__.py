"""Fusion: several strong models into one smaller one. Each module is one step, and works alone."""
