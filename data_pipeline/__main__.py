"""Run `data-pipeline` as `python -m data_pipeline`, for example where scripts are not on the path."""

from data_pipeline.cli import main

if __name__ == "__main__":
    main()
