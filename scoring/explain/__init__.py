"""Words that moved a probability, and a measurement of how well they are found."""
