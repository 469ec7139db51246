"""Write samples for the tasks of a tree: how often a task is asked (quotas), what one call gives (candidates)."""
