"""Approach 1: disentangling at the level of embeddings (Jambigi, IISc, project report, 2020).

In reading order:

    equations.py    what is minimised: L_simple, L_cross, L_dis, L_triplet
    networks.py     encoders, decoders and the classifier
    method.py       the stages: BDTR, classifier, disentangling
    config.py       what a recipe may set
"""

from crosslight.methods.embedding_disentangle.config import EmbeddingDisentangleConfig
from crosslight.methods.embedding_disentangle.method import EmbeddingDisentangle

__all__ = ["EmbeddingDisentangle", "EmbeddingDisentangleConfig"]
