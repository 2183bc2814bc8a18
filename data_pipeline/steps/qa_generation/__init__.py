"""Questions with the SQL that answers them: what the step `qa_generation` is made of."""
