"""Runs the journal and the pipeline on strange file systems: FUSE, layered, without links, mounted in odd places."""
