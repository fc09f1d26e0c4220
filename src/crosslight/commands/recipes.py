"""Lists and prints the recipes that ship with crosslight."""

from crosslight.config import read_recipe_text, recipe_names


def list_recipes() -> None:
    """Prints each recipe's name and the first line of its header."""
    names = recipe_names()
    width = max(map(len, names))
    for name in names:
        header = read_recipe_text(name).splitlines()[0].lstrip("# ")
        print(f"{name:<{width}}  {header}")


def print_recipe(name: str) -> None:
    """Prints a recipe, ready to be saved and changed."""
    print(read_recipe_text(name), end="")
