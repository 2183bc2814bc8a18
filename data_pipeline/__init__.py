"""Turn a relational database into text-to-SQL training data, run after run, without losing what an earlier run made."""

__version__ = "0.2.0"
