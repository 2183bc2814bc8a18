"""The second version: the events of a task's newest run."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table of events."""
    op.create_table(
        "data_pipeline_events",
        sa.Column("sequence", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("execution_id", sa.String(length=100), nullable=False),
        sa.Column("occurred_at", sa.DateTime(), nullable=False),
        sa.Column("phase", sa.String(length=20), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["execution_id"],
            ["data_pipeline_executions.execution_id"],
            name=op.f("data_pipeline_events_execution_id_fk"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("sequence", name=op.f("data_pipeline_events_pk")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("data_pipeline_events_execution_id_sequence_ix"),
        "data_pipeline_events",
        ["execution_id", "sequence"],
        unique=False,
    )
