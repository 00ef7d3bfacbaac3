"""One supervisor for a whole mesh on one machine: what runs, in which order, and what happens when it falls."""
