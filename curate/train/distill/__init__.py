"""Token-level fusion: learning from the distributions of stronger models beside the samples themselves.

FuseLLM (Wan et al., ICLR 2024, arXiv 2401.10491) and FuseChat (Wan et al., 2024, arXiv 2402.16107): the loss is
λ * CLM + (1 - λ) * fusion, where the fusion part is the cross-entropy to one source's distribution, or to a mean of
several, at every place where the target can learn from it.
"""
