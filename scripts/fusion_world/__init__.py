"""The proof of fusion in a made-up world: `python -m scripts.fusion_world` (see `__main__`)."""
