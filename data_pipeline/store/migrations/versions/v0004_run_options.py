"""The fourth version: what the request for one run says, kept until the run has ended."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the table of options."""
    op.create_table(
        "data_pipeline_run_options",
        sa.Column("execution_id", sa.String(length=100), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("execution_id", name=op.f("data_pipeline_run_options_pk")),
    )
