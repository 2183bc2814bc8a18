"""The commands of `data-pipeline`, one file for each group: they parse arguments, call the pipeline and print."""
