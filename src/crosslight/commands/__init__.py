"""What the commands do, one file each; `crosslight.cli` gives them names and flags."""
