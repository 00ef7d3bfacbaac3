"""The numbered SQL files; each runs once, in order, at start."""
