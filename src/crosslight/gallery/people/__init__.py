"""Whose rows are whose, what they are called, and who cannot be one person."""
