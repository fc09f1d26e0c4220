"""The loop, exact checkpoints and logs; knows no method and no loss by name."""
