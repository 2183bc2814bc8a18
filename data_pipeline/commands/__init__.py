"""The commands of `data-pipeline`, a file for each group: they read arguments, call, and print."""
