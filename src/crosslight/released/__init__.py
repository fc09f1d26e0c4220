"""What the original programs' checkpoints hold, and what every name in them is called here."""
