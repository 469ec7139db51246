"""The knowledge exam: what a sample needs to be known, questions about it, and what a student's answers mean.

Knowledge Consistent Alignment (Wan et al. 2024, arXiv 2401.10768): a sample whose facts a student does not know teaches
it to make things up. `need`, `documents`, `knowledge`, `questions` and `validity` make one sample's `sheet`.
"""
