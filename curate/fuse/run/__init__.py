"""`curate fuse run`: a whole fusion in one file, from prompts to a model that is measured."""
