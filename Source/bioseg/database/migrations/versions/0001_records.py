"""Request records, idempotency keys, tasks, telemetry runs and secrets."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    counter = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "idempotency_keys",
        sa.Column("owner", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("body_sha256", sa.String(length=64), nullable=False),
        sa.Column("request_id", sa.String(length=32), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("owner", "key", name="pk_idempotency_keys"),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])
    op.create_table(
        "requests",
        sa.Column("seq", counter, nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("owner", sa.String(length=32), nullable=False),
        sa.Column("study", sa.String(length=64), nullable=False),
        sa.Column("task", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("screen_verdict", sa.String(length=16), nullable=True),
        sa.Column("screen_score", sa.Double(), nullable=True),
        sa.Column("screen_kind", sa.String(length=64), nullable=True),
        sa.Column("screen_reason", sa.Text(), nullable=True),
        sa.Column("screen_version", sa.String(length=64), nullable=True),
        sa.Column("overridden", sa.Boolean(), nullable=False),
        sa.Column("arm", sa.String(length=16), nullable=True),
        sa.Column("version", sa.String(length=64), nullable=True),
        sa.Column("precision", sa.String(length=16), nullable=True),
        sa.Column("label", sa.String(length=64), nullable=True),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("image_blob", sa.String(length=64), nullable=True),
        sa.Column("mask_blob", sa.String(length=64), nullable=True),
        sa.Column("probability_blob", sa.String(length=64), nullable=True),
        sa.Column("foreground_fraction", sa.Double(), nullable=True),
        sa.Column("predicted", sa.String(length=64), nullable=True),
        sa.Column("probabilities", sa.JSON(), nullable=False),
        sa.Column("timings_ms", sa.JSON(), nullable=False),
        sa.Column("latency_ms", sa.Double(), nullable=False),
        sa.Column("cpu_seconds", sa.Double(), nullable=False),
        sa.Column("cpu_percent", sa.Double(), nullable=False),
        sa.Column("memory_rss_mb", sa.Double(), nullable=False),
        sa.Column("feedback_label", sa.String(length=64), nullable=True),
        sa.Column("mask_ok", sa.Boolean(), nullable=True),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("feedback_at", moment, nullable=True),
        sa.Column("corrected_mask_blob", sa.String(length=64), nullable=True),
        sa.Column("mlflow_run", sa.String(length=32), nullable=True),
        sa.Column("mlflow_step", sa.BigInteger(), nullable=True),
        sa.Column("shipped_at", moment, nullable=True),
        sa.Column("deleted_at", moment, nullable=True),
        sa.PrimaryKeyConstraint("seq", name="pk_requests"),
        sa.UniqueConstraint("id", name="uq_requests_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_requests_corrected_mask_blob", "requests", ["corrected_mask_blob"])
    op.create_index("ix_requests_image_blob", "requests", ["image_blob"])
    op.create_index("ix_requests_mask_blob", "requests", ["mask_blob"])
    op.create_index("ix_requests_owner_seq", "requests", ["owner", "seq"])
    op.create_index("ix_requests_probability_blob", "requests", ["probability_blob"])
    op.create_index("ix_requests_study_seq", "requests", ["study", "seq"])
    op.create_table(
        "secrets",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_secrets"),
    )
    op.create_table(
        "telemetry_runs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study", sa.String(length=64), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("arm", sa.String(length=16), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("points", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_telemetry_runs"),
        sa.UniqueConstraint("study", "version", "arm", "number", name="uq_telemetry_runs_study_version_arm_number"),
    )
    op.create_table(
        "tasks",
        sa.Column("id", counter, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("request_seq", counter, nullable=True),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("not_before", moment, nullable=False),
        sa.Column("claimed_by", sa.Text(), nullable=True),
        sa.Column("claimed_until", moment, nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("done_at", moment, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["request_seq"], ["requests.seq"], name="fk_tasks_request_seq"),
        sa.PrimaryKeyConstraint("id", name="pk_tasks"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_tasks_done_at_kind_not_before", "tasks", ["done_at", "kind", "not_before"])
    op.create_index("ix_tasks_request_seq", "tasks", ["request_seq"])
