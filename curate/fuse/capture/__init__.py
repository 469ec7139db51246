"""What a source model finds probable at every place of what the assistant says, kept for `curate train fuse`."""

from curate.fuse.capture.run import Captured, Options, Plan, capture

__all__ = ["Captured", "Options", "Plan", "capture"]
