"""What a conversation still knows of what has left its window: by rules, by a model, within bounds."""
