"""The first version: tasks, executions, and the steps of each."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the three tables."""
    op.create_table(
        "data_pipeline_tasks",
        sa.Column("task_id", sa.String(length=64), nullable=False),
        sa.Column("task_name", sa.String(length=255), nullable=True),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=True),
        sa.Column("completed_at", sa.DateTime(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("created_by", sa.String(length=50), nullable=False),
        sa.Column("created_type", sa.String(length=20), nullable=False),
        sa.Column("db_name", sa.String(length=255), nullable=True),
        sa.CheckConstraint(
            "status IN ('pending', 'queued', 'in_progress', 'partial_completed', 'completed', 'failed', 'cancelled')",
            name=op.f("data_pipeline_tasks_status_ck"),
        ),
        sa.PrimaryKeyConstraint("task_id", name=op.f("data_pipeline_tasks_pk")),
    )
    op.create_index(op.f("data_pipeline_tasks_created_at_ix"), "data_pipeline_tasks", ["created_at"], unique=False)
    op.create_index(
        op.f("data_pipeline_tasks_status_created_at_ix"), "data_pipeline_tasks", ["status", "created_at"], unique=False
    )
    op.create_table(
        "data_pipeline_executions",
        sa.Column("sequence", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("execution_id", sa.String(length=100), nullable=False),
        sa.Column("task_id", sa.String(length=64), nullable=False),
        sa.Column("mode", sa.String(length=10), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=True),
        sa.Column("completed_at", sa.DateTime(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("backup", sa.JSON(), nullable=True),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.CheckConstraint("mode IN ('complete', 'step')", name=op.f("data_pipeline_executions_mode_ck")),
        sa.CheckConstraint(
            "status IN ('pending', 'queued', 'in_progress', 'partial_completed', 'completed', 'failed', 'cancelled')",
            name=op.f("data_pipeline_executions_status_ck"),
        ),
        sa.ForeignKeyConstraint(
            ["task_id"],
            ["data_pipeline_tasks.task_id"],
            name=op.f("data_pipeline_executions_task_id_fk"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("sequence", name=op.f("data_pipeline_executions_pk")),
        sa.UniqueConstraint("execution_id", name=op.f("data_pipeline_executions_execution_id_uq")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("data_pipeline_executions_task_id_sequence_ix"),
        "data_pipeline_executions",
        ["task_id", "sequence"],
        unique=False,
    )
    op.create_table(
        "data_pipeline_execution_steps",
        sa.Column("execution_id", sa.String(length=100), nullable=False),
        sa.Column("step_name", sa.String(length=50), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=True),
        sa.Column("completed_at", sa.DateTime(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.CheckConstraint(
            "status IN ('pending', 'running', 'completed', 'failed', 'cancelled')",
            name=op.f("data_pipeline_execution_steps_status_ck"),
        ),
        sa.ForeignKeyConstraint(
            ["execution_id"],
            ["data_pipeline_executions.execution_id"],
            name=op.f("data_pipeline_execution_steps_execution_id_fk"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("execution_id", "step_name", name=op.f("data_pipeline_execution_steps_pk")),
    )
