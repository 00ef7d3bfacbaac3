"""What all specialties share: the turn loop, tools, the effect ledger, consults."""
