"""Measurements of what the project claims: one script per claim, both sides in the same run."""
