"""Texts to vectors with a model that runs here: no download, no other service."""
