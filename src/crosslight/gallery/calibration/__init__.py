"""What a distance means: the probability of one person, and how often strangers are found."""
