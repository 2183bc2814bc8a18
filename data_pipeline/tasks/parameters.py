"""The parameters of tasks and runs: one model each for HTTP, the command line, the script and the store. Pure.

The description of a field is its help everywhere. `Flags` adds the names of older versions on the command line.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool

from data_pipeline.config.numbers import NO_BOOLEAN, Share

Language = Literal["en", "zh"]
Difficulty = Literal["easy", "medium", "hard", "extra", "beyond"]

MAXIMUM_SEED = 2**31 - 1


@dataclass(frozen=True)
class Flags:
    """More names of a switch on the command line. `off` are the names that turn it off."""

    off: tuple[str, ...] = ()


def _parse_mix(value: object) -> object:
    """Parse shares of the command line: `easy=0.3,hard=0.7`, or JSON. Errors do not contain the input."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError("must be JSON, or shares such as easy=0.3,hard=0.7") from None
    elif isinstance(value, str):
        pairs = (part.partition("=") for part in value.split(","))
        value = {name.strip(): float(share) for name, _, share in pairs}
    if isinstance(value, dict) and not set(value) <= set(get_args(Difficulty)):
        raise ValueError(f"must have shares of {', '.join(get_args(Difficulty))} only")
    return value


DifficultyMix = Annotated[dict[Difficulty, Share], BeforeValidator(_parse_mix)]


class TaskParameters(BaseModel):
    """The parameters of a task without its database. If a field is None, the setting of that name is used."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    business_context: str = Field(
        default="", max_length=10_000, description="Subject of the database, for comments and for a language model."
    )
    language: Language = Field(default="en", description="Language of comments and questions.")
    continue_on_error: StrictBool = Field(
        default=False, description="Continue with the other tables if one fails in ddl_generation."
    )
    profile_tables: Annotated[StrictBool, Flags(off=("--no-profile",))] = Field(
        default=True, description="Read rows: counts, minimum and maximum, examples."
    )
    mask_personal_data: Annotated[StrictBool, Flags(off=("--show-personal-data",))] = Field(
        default=True, description="Keep values of columns about people out of every file."
    )
    enable_sql_validation: Annotated[StrictBool, Flags(off=("--skip-validation",))] = Field(
        default=True, description="Run the step sql_validation."
    )
    enable_llm_comments: StrictBool = Field(
        default=True, description="Ask the language model, if one is configured, for missing comments."
    )
    enable_llm_repair: Annotated[StrictBool, Flags(off=("--disable-llm-repair",))] = Field(
        default=True, description="Ask the language model, if one is configured, to repair SQL that fails."
    )
    modify_original_file: Annotated[StrictBool, Flags(off=("--no-modify-file",))] = Field(
        default=True, description="Write repaired pairs into the pair file, and remove those that cannot be repaired."
    )
    enable_training_data_load: Annotated[StrictBool, Flags(off=("--skip-training-load",))] = Field(
        default=True, description="Run the step training_load."
    )
    pairs_per_table: Annotated[int, Field(ge=1, le=1_000), NO_BOOLEAN] | None = Field(
        default=None, description="Number of question-SQL pairs for each table; default: the setting (20)."
    )
    max_pairs: Annotated[int, Field(ge=1, le=100_000), NO_BOOLEAN] | None = Field(
        default=None, description="Maximum number of pairs; default: the setting (5000)."
    )
    difficulty_mix: DifficultyMix | None = Field(
        default=None,
        description="Shares of the pairs by difficulty (easy, medium, hard, extra, beyond); default: a mix of all.",
    )
    infer_joins: StrictBool = Field(
        default=True, description="Find undeclared foreign keys by names, types and values."
    )
    seed: Annotated[int, Field(ge=0, le=MAXIMUM_SEED), NO_BOOLEAN] | None = Field(
        default=None, description="Random seed; the same seed and data give the same pairs; default: the setting (7)."
    )
    enable_llm_pairs: StrictBool = Field(
        default=True, description="Ask the language model, if one is configured, for more pairs and for paraphrases."
    )
    llm_pairs_per_theme: Annotated[int, Field(ge=0, le=100), NO_BOOLEAN] | None = Field(
        default=None, description="Number of pairs to ask the language model for per theme; default: the setting."
    )
    llm_paraphrase_share: Share | None = Field(
        default=None, description="Share of the questions that the language model paraphrases; default: the setting."
    )


class RunOptions(BaseModel):
    """The options of one run about the vector store."""

    model_config = ConfigDict(frozen=True)

    backup_vector_tables: StrictBool = Field(default=False, description="Back the vector store up before the load.")
    truncate_vector_tables: StrictBool = Field(
        default=False,
        description="Back the vector store up, then delete all items of other tasks, in the load's transaction.",
    )
    skip_training: StrictBool = Field(default=False, description="Skip the step training_load in a complete run.")


def changed(parameters: TaskParameters, changes: dict[str, Any]) -> TaskParameters:
    """Return the parameters with some fields changed. Raises pydantic's ValidationError."""
    return type(parameters).model_validate({**parameters.model_dump(), **changes})
