"""The commands of `crosslight gallery`, and what a demo and a report show of one."""
