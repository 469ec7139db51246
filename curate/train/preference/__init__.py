"""Training on preferences: DPO, its length-normalised form, SimPO and WRPO, on the same run as fine-tuning.

pairs.py       from a sample to a group: a prompt with its two or three answers, as tokens
groups.py      the groups of a dataset on the disk
packs.py       how groups lie in packs: the prompt once for all its answers, or once for each
losses.py      the losses, one function each
reference.py   what the model says of the answers before training, computed once and kept
run.py         the run
"""
