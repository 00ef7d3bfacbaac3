"""What customers, the mesh and the third party say about a run, and whether it keeps Parley's promises.

The records and the rules: reliability.md, 'The history checker'.
"""
