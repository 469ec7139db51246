"""From anybody's dataset to the batches of the trainer: templates, tokens, mixtures, streams, packs, tensors."""
