"""Blocks of networks; whole systems are in `crosslight.methods`."""
