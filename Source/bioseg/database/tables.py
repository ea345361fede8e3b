"""The tables. A change here needs a new migration in `migrations/versions`; a test compares the two."""

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Utc(TypeDecorator[datetime]):
    """A moment, always with the time zone UTC; SQLite itself keeps no zone.

    Raises
    ------
    ValueError
        When given a datetime without a zone (SQLAlchemy passes it on as StatementError).
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Take any zone, store UTC."""
        if value is not None and value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; use datetime.now(UTC)")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Give UTC back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Counter = BigInteger().with_variant(Integer, "sqlite")
Hex32 = String(32)
Hex64 = String(64)
Name = String(64)


class Base(DeclarativeBase):
    """Base of all tables; constraints have names, so that later migrations can reach them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012
        datetime: Utc,
        float: Double,
        str: Text,
        dict[str, float]: JSON,
    }


class RequestRecord(Base):
    """One upload, refused and failed ones too; it is also the telemetry event.

    `seq` grows and is never used twice. `timings_ms` holds milliseconds by stage; `latency_ms` is from arrival
    until the record is about to be written. `probabilities` holds a share of 1 by class. `*_blob` are keys of the blob
    store, `mirror_path` is the folder of the copies in the mirror. `memory_rss_mb` is in MiB, `cpu_percent` the
    machine's, 0 to 100. `rollout` and `screen_rollout` name the rollouts that chose `version` and `screen_version`.
    """

    __tablename__ = "requests"
    __table_args__ = (
        Index(None, "owner", "seq"),
        Index(None, "study", "seq"),
        Index(None, "deleted_at", "created_at"),
        Index(None, "rollout", "seq"),
        Index(None, "screen_rollout", "seq"),
        {"sqlite_autoincrement": True},
    )

    seq: Mapped[int] = mapped_column(Counter, primary_key=True)
    id: Mapped[str] = mapped_column(Hex32, unique=True)
    created_at: Mapped[datetime]
    owner: Mapped[str] = mapped_column(Hex32)
    study: Mapped[str] = mapped_column(Name)
    task: Mapped[str] = mapped_column(String(16))
    status: Mapped[str] = mapped_column(String(16))
    error: Mapped[str | None]
    detail: Mapped[str | None]

    screen_verdict: Mapped[str | None] = mapped_column(String(16))
    screen_score: Mapped[float | None]
    screen_kind: Mapped[str | None] = mapped_column(Name)
    screen_reason: Mapped[str | None]
    screen_version: Mapped[str | None] = mapped_column(Name)
    screen_rollout: Mapped[str | None] = mapped_column(Hex32)
    overridden: Mapped[bool] = mapped_column(default=False)

    arm: Mapped[str | None] = mapped_column(String(16))
    version: Mapped[str | None] = mapped_column(Name)
    precision: Mapped[str | None] = mapped_column(String(16))
    rollout: Mapped[str | None] = mapped_column(Hex32)

    label: Mapped[str | None] = mapped_column(Name)
    width: Mapped[int | None]
    height: Mapped[int | None]
    image_blob: Mapped[str | None] = mapped_column(Hex64, index=True)
    mask_blob: Mapped[str | None] = mapped_column(Hex64, index=True)
    probability_blob: Mapped[str | None] = mapped_column(Hex64, index=True)
    heatmap_blob: Mapped[str | None] = mapped_column(Hex64, index=True)
    foreground_fraction: Mapped[float | None]
    predicted: Mapped[str | None] = mapped_column(Name)
    probabilities: Mapped[dict[str, float]] = mapped_column(default=dict)

    timings_ms: Mapped[dict[str, float]] = mapped_column(default=dict)
    latency_ms: Mapped[float]
    cpu_seconds: Mapped[float]
    cpu_percent: Mapped[float]
    memory_rss_mb: Mapped[float]

    feedback_label: Mapped[str | None] = mapped_column(Name)
    mask_ok: Mapped[bool | None]
    comment: Mapped[str | None]
    feedback_at: Mapped[datetime | None]
    corrected_mask_blob: Mapped[str | None] = mapped_column(Hex64, index=True)

    mirror_path: Mapped[str | None]
    mlflow_run: Mapped[str | None] = mapped_column(Hex32)
    mlflow_step: Mapped[int | None] = mapped_column(BigInteger)
    shipped_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]


class BlobMove(Base):
    """A blob whose place in the blob store is to be settled: stored there when a record names it, else removed.

    `data` holds the bytes that are to be stored, None those that are in the store already or are to be removed.
    """

    __tablename__ = "blob_moves"

    key: Mapped[str] = mapped_column(Hex64, primary_key=True)
    data: Mapped[bytes | None]
    created_at: Mapped[datetime] = mapped_column(index=True)


class IdempotencyKey(Base):
    """An `Idempotency-Key` of an owner, the sha256 of the body it came with, and the request it led to."""

    __tablename__ = "idempotency_keys"

    owner: Mapped[str] = mapped_column(Hex32, primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    body_sha256: Mapped[str] = mapped_column(Hex64)
    request_id: Mapped[str] = mapped_column(Hex32)
    created_at: Mapped[datetime] = mapped_column(index=True)


class Task(Base):
    """Durable work after a response. A worker holds it until `claimed_until`; nobody claims it before `not_before`."""

    __tablename__ = "tasks"
    __table_args__ = (Index(None, "done_at", "kind", "not_before"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(Counter, primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    request_seq: Mapped[int | None] = mapped_column(Counter, ForeignKey("requests.seq"), index=True)
    created_at: Mapped[datetime]
    not_before: Mapped[datetime]
    claimed_by: Mapped[str | None]
    claimed_until: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0)
    done_at: Mapped[datetime | None]
    error: Mapped[str | None]


class TelemetryRun(Base):
    """An MLflow run that takes the points of a study, version and arm; `number` counts such runs from 1.

    `rollout` is the one under which they came, or empty: then its run in MLflow is the parent of this one.
    """

    __tablename__ = "telemetry_runs"
    __table_args__ = (UniqueConstraint("study", "version", "arm", "rollout", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    study: Mapped[str] = mapped_column(Name)
    version: Mapped[str] = mapped_column(Name)
    arm: Mapped[str] = mapped_column(String(16))
    rollout: Mapped[str] = mapped_column(Hex32, default="")
    number: Mapped[int]
    run_id: Mapped[str] = mapped_column(Hex32)
    points: Mapped[int] = mapped_column(default=0)


class Decision(Base):
    """A row of the ledger: a move of a study's aliases, and how its traffic is shared from then on. It never changes.

    The last row of a study is what counts. `sequence` counts its rows from 1; `hash` is of everything else in the row,
    the `previous` row's hash included. `evidence` is JSON, kept as text so that its hash does not depend on a database.
    """

    __tablename__ = "decisions"
    __table_args__ = (UniqueConstraint("study", "sequence"),)

    id: Mapped[int] = mapped_column(Counter, primary_key=True)
    study: Mapped[str] = mapped_column(Name)
    sequence: Mapped[int]
    created_at: Mapped[datetime]
    action: Mapped[str] = mapped_column(String(16))
    champion: Mapped[str | None] = mapped_column(Name)
    challenger: Mapped[str | None] = mapped_column(Name)
    strategy: Mapped[str] = mapped_column(String(16))
    share: Mapped[float]
    rollout: Mapped[str | None] = mapped_column(Hex32, index=True)
    frozen: Mapped[bool]
    automatic: Mapped[bool]
    actor: Mapped[str]
    reason: Mapped[str]
    evidence: Mapped[str]
    previous: Mapped[str] = mapped_column(Hex64)
    hash: Mapped[str] = mapped_column(Hex64)


class GateReport(Base):
    """What the offline gate found of a candidate against the champion of that moment; `report` is JSON."""

    __tablename__ = "gate_reports"
    __table_args__ = (Index(None, "study", "champion", "candidate"),)

    id: Mapped[int] = mapped_column(Counter, primary_key=True)
    study: Mapped[str] = mapped_column(Name)
    champion: Mapped[str] = mapped_column(Name)
    candidate: Mapped[str] = mapped_column(Name)
    verdict: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime]
    report: Mapped[str]


class Pair(Base):
    """Both arms of a rollout on the image of one request, run by the worker one after the other in random order.

    `status` is `done`, or `stale` when the moment for it had passed. `*_failed` tells that an arm gave no result; times
    are those of running the arm, `*_memory_mb` is the peak of its process in MiB, `*_answer` the class that it told
    (classification), `*_blob` its mask (segmentation). `agreement` of the arms (Dice, or 1 and 0 for the same class or
    not) orders the queue of disagreements and is no quality. `rank`, drawn at random, is the order in which reviewers
    see the pairs, so that those judged so far are a uniform sample; `left` is the arm shown on the left side.
    `preference` is the reviewer's arm, or `same`. `corrected_from` is the arm whose mask reviewers get to correct, also
    drawn at random, `*_quality` the figure of each arm against the corrected mask or the reviewer's class. `*_number`
    counts the preferences and the qualities of a rollout from 1, in the order in which they were given.
    """

    __tablename__ = "pairs"
    __table_args__ = (UniqueConstraint("rollout", "request_seq"), Index(None, "rollout", "rank"))

    id: Mapped[int] = mapped_column(Counter, primary_key=True)
    rollout: Mapped[str] = mapped_column(Hex32)
    request_seq: Mapped[int] = mapped_column(Counter, ForeignKey("requests.seq"), index=True)
    created_at: Mapped[datetime]
    status: Mapped[str] = mapped_column(String(16))
    champion_failed: Mapped[bool] = mapped_column(default=False)
    challenger_failed: Mapped[bool] = mapped_column(default=False)
    error: Mapped[str | None]
    champion_ms: Mapped[float | None]
    challenger_ms: Mapped[float | None]
    champion_cpu_seconds: Mapped[float | None]
    challenger_cpu_seconds: Mapped[float | None]
    champion_memory_mb: Mapped[float | None]
    challenger_memory_mb: Mapped[float | None]
    agreement: Mapped[float | None]
    champion_answer: Mapped[str | None] = mapped_column(Name)
    challenger_answer: Mapped[str | None] = mapped_column(Name)
    champion_blob: Mapped[str | None] = mapped_column(Hex64, index=True)
    challenger_blob: Mapped[str | None] = mapped_column(Hex64, index=True)
    rank: Mapped[float]
    left: Mapped[str] = mapped_column(String(16))
    preference: Mapped[str | None] = mapped_column(String(16))
    preference_number: Mapped[int | None]
    preferred_at: Mapped[datetime | None]
    corrected_from: Mapped[str] = mapped_column(String(16))
    champion_quality: Mapped[float | None]
    challenger_quality: Mapped[float | None]
    quality_number: Mapped[int | None]
    corrected_at: Mapped[datetime | None]


class RolloutRun(Base):
    """The MLflow run of a rollout, the parent of its arms' runs; `told` is the sha256 of what it was told last."""

    __tablename__ = "rollout_runs"

    rollout: Mapped[str] = mapped_column(Hex32, primary_key=True)
    study: Mapped[str] = mapped_column(Name)
    run_id: Mapped[str] = mapped_column(Hex32)
    told: Mapped[str] = mapped_column(Hex64, default="")
    is_over: Mapped[bool] = mapped_column(default=False)


class RateWindow(Base):
    """How often something happened in a window of time that ends at `expires_at`."""

    __tablename__ = "rate_windows"

    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    hits: Mapped[int]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class Secret(Base):
    """A secret that was generated at first start."""

    __tablename__ = "secrets"

    name: Mapped[str] = mapped_column(Name, primary_key=True)
    value: Mapped[str]
