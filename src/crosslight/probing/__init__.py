"""What the codes of a method know, and how true its pictures are.

Functions come in (one that gives codes of images, one that draws) and figures go out; `people`
draws persons whom no training has seen, with every factor of every image. Nothing here knows a
method or a run: `crosslight.experiments.probing` brings both together.
"""
