"""The loop of rounds and the order of stages: what the verbs of the command line and of Python call."""
