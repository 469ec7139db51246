"""The proof of the knowledge exam in a made-up world: `python -m scripts.exam_world` (see `__main__`)."""
