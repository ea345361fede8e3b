"""The ledger, reports of the offline gate, pairs of a rollout, and which rollout chose a version."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add the tables and columns."""
    _requests()
    _telemetry_runs()
    _decisions()
    _gate_reports()
    _pairs()
    op.create_table(
        "rollout_runs",
        sa.Column("rollout", sa.String(length=32), nullable=False),
        sa.Column("study", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("told", sa.String(length=64), nullable=False),
        sa.Column("is_over", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("rollout", name="pk_rollout_runs"),
    )


def _requests() -> None:
    for column in ("rollout", "screen_rollout"):
        op.add_column("requests", sa.Column(column, sa.String(length=32), nullable=True))
        op.create_index(f"ix_requests_{column}_seq", "requests", [column, "seq"])


def _telemetry_runs() -> None:
    with op.batch_alter_table("telemetry_runs") as table:
        table.add_column(sa.Column("rollout", sa.String(length=32), nullable=False, server_default=""))
        table.drop_constraint("uq_telemetry_runs_study_version_arm_number", type_="unique")
        table.create_unique_constraint(
            "uq_telemetry_runs_study_version_arm_rollout_number", ["study", "version", "arm", "rollout", "number"]
        )


def _decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("id", COUNTER, nullable=False),
        sa.Column("study", sa.String(length=64), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("champion", sa.String(length=64), nullable=True),
        sa.Column("challenger", sa.String(length=64), nullable=True),
        sa.Column("strategy", sa.String(length=16), nullable=False),
        sa.Column("share", sa.Double(), nullable=False),
        sa.Column("rollout", sa.String(length=32), nullable=True),
        sa.Column("frozen", sa.Boolean(), nullable=False),
        sa.Column("automatic", sa.Boolean(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_decisions"),
        sa.UniqueConstraint("study", "sequence", name="uq_decisions_study_sequence"),
    )
    op.create_index("ix_decisions_rollout", "decisions", ["rollout"])


def _gate_reports() -> None:
    op.create_table(
        "gate_reports",
        sa.Column("id", COUNTER, nullable=False),
        sa.Column("study", sa.String(length=64), nullable=False),
        sa.Column("champion", sa.String(length=64), nullable=False),
        sa.Column("candidate", sa.String(length=64), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("report", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_gate_reports"),
    )
    op.create_index("ix_gate_reports_study_champion_candidate", "gate_reports", ["study", "champion", "candidate"])


def _pairs() -> None:
    figures = (
        *("champion_ms", "challenger_ms", "champion_cpu_seconds", "challenger_cpu_seconds"),
        *("champion_memory_mb", "challenger_memory_mb", "agreement", "champion_quality", "challenger_quality"),
    )
    op.create_table(
        "pairs",
        sa.Column("id", COUNTER, nullable=False),
        sa.Column("rollout", sa.String(length=32), nullable=False),
        sa.Column("request_seq", COUNTER, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("champion_failed", sa.Boolean(), nullable=False),
        sa.Column("challenger_failed", sa.Boolean(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        *(sa.Column(name, sa.Double(), nullable=True) for name in figures),
        sa.Column("champion_answer", sa.String(length=64), nullable=True),
        sa.Column("challenger_answer", sa.String(length=64), nullable=True),
        sa.Column("champion_blob", sa.String(length=64), nullable=True),
        sa.Column("challenger_blob", sa.String(length=64), nullable=True),
        sa.Column("rank", sa.Double(), nullable=False),
        sa.Column("left", sa.String(length=16), nullable=False),
        sa.Column("preference", sa.String(length=16), nullable=True),
        sa.Column("preference_number", sa.Integer(), nullable=True),
        sa.Column("preferred_at", MOMENT, nullable=True),
        sa.Column("corrected_from", sa.String(length=16), nullable=False),
        sa.Column("quality_number", sa.Integer(), nullable=True),
        sa.Column("corrected_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_pairs"),
        sa.UniqueConstraint("rollout", "request_seq", name="uq_pairs_rollout_request_seq"),
        sa.ForeignKeyConstraint(["request_seq"], ["requests.seq"], name="fk_pairs_request_seq"),
    )
    op.create_index("ix_pairs_request_seq", "pairs", ["request_seq"])
    op.create_index("ix_pairs_rollout_rank", "pairs", ["rollout", "rank"])
    for column in ("champion_blob", "challenger_blob"):
        op.create_index(f"ix_pairs_{column}", "pairs", [column])
