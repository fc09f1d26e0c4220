"""The names of splits that training and evaluation look for."""

TRAINING_SPLITS = ("train", "val")
SEARCHED_SPLITS = ("query", "gallery", "multi-query")
TEST_SPLITS = ("test", *SEARCHED_SPLITS)
SPLITS = (*TRAINING_SPLITS, *TEST_SPLITS, "all")
"""All of them; `all` where a table has no splits."""
