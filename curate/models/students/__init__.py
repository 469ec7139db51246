"""Students: models that take an exam, in process or behind a server, by log-probabilities or by votes."""

from curate.models.students.student import Item, Mark, Student

__all__ = ["Item", "Mark", "Student"]
