"""`python -m data_pipeline` is `data-pipeline`, wherever scripts are not on the path."""

from data_pipeline.cli import main

if __name__ == "__main__":
    main()
