"""One file per system of the literature."""
