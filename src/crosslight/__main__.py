"""`python -m crosslight` is `crosslight`."""

from crosslight.cli import main

if __name__ == "__main__":
    main()
