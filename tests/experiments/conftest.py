from tests.commands.conftest import promenade, recipe, trained

__all__ = ["promenade", "recipe", "trained"]
