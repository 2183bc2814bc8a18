"""The third version: answers of the language model, kept so that no answer is paid for twice."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table of answers."""
    op.create_table(
        "data_pipeline_model_answers",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("data_pipeline_model_answers_pk")),
    )
