"""Orders on their way, cancelling them, and sending them back."""
