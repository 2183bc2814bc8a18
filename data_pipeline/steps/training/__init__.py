"""The step training_load: load the training items into the vector store."""
