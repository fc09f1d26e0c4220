"""One file, or one package, per system of the literature."""
