"""What a method draws, as pictures: swaps, the cases of an exchange, translations, code maps."""
