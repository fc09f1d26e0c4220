"""What a researcher does with the rooms below: fit a recipe, open a run, evaluate, compare."""
