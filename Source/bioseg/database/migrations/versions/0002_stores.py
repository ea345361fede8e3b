"""The mirror's path of a record, blobs on their way into the store, counters of rate limits."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, its index and the two tables."""
    moment = sa.DateTime(timezone=True)
    op.add_column("requests", sa.Column("mirror_path", sa.Text(), nullable=True))
    op.create_index("ix_requests_deleted_at_created_at", "requests", ["deleted_at", "created_at"])
    op.create_table(
        "blob_moves",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_blob_moves"),
    )
    op.create_index("ix_blob_moves_created_at", "blob_moves", ["created_at"])
    op.create_table(
        "rate_windows",
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("hits", sa.Integer(), nullable=False),
        sa.Column("expires_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_rate_windows"),
    )
    op.create_index("ix_rate_windows_expires_at", "rate_windows", ["expires_at"])
