"""The tables of the archive, as numbered SQL files, and its roles."""
