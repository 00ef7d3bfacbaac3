"""Owns each conversation: its state, its turn order, who answers."""
