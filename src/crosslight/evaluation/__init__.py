"""Ranking, protocols and scores; takes arrays, never a model."""
