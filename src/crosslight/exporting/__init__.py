"""Runs as models that need no torch: their graphs, their card, and whether they are still true.

`card`, `runtimes` and `exported` are what an exported model needs to embed: numpy, Pillow and
one runtime. `graphs` and `quantising` make one of a method; `parity` compares.
"""
