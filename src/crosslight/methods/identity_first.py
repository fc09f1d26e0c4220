"""Two stages: identity alone, where that is wanted, then everything."""

from __future__ import annotations

from crosslight.methods.contract import Stage

IDENTITY, JOINT = "identity", "joint"


def identity_first(identity_iterations: int, iterations: int) -> tuple[Stage, ...]:
    """The joint stage, after one in which nothing is drawn.

    Args:
        identity_iterations: Length of the first; 0 leaves it out.
        iterations: Length of the joint one.
    """
    joint = Stage(name=JOINT, iterations=iterations)
    if not identity_iterations:
        return (joint,)
    return (Stage(name=IDENTITY, iterations=identity_iterations), joint)
