"""How good background models are: scores on observations, and models side by side."""
