"""The messages of the mesh. No I/O here: structs, subjects, errors."""
