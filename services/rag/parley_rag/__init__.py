"""Knowledge: documents, chunks, embeddings and search."""
