"""Find the same person across cameras that see in different light."""

__version__ = "0.1.0"
