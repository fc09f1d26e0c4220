import os

# As in `crosslight.cli.main`: tests share their cores with each other.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
