"""The heat map of a classification."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column and its index."""
    op.add_column("requests", sa.Column("heatmap_blob", sa.String(length=64), nullable=True))
    op.create_index("ix_requests_heatmap_blob", "requests", ["heatmap_blob"])
