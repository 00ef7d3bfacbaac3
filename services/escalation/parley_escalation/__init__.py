"""Complaints, urgent matters and everything that people have to decide."""
