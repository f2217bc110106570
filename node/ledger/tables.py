"""The ledger's tables (SQLAlchemy Core; SQLite by default, PostgreSQL to scale out)."""

from sqlalchemy import JSON, Column, Float, Index, Integer, MetaData, String, Table, Text

metadata = MetaData()

instances = Table(
    "instances",
    metadata,
    Column("name", String(200), primary_key=True),  # name in the inbox
    Column("study", String(64), nullable=False, default=""),  # pseudonym; "" while or if it cannot be told
    Column("state", String(20), nullable=False),
    Column("reason", String(40), nullable=False, default=""),
    Column("text", Text, nullable=False, default=""),
    Column("registered_at", Float, nullable=False),
    Index("instances_of_study", "study"),
)

studies = Table(
    "studies",
    metadata,
    Column("study", String(64), primary_key=True),
    Column("state", String(20), nullable=False),
    Column("reason", String(40), nullable=False, default=""),
    Column("text", Text, nullable=False, default=""),
    Column("step", String(40), nullable=False, default=""),
    Column("done", Integer, nullable=False, default=0),  # progress within the step
    Column("total", Integer, nullable=False, default=0),
    Column("first_arrival", Float, nullable=False),
    Column("last_arrival", Float, nullable=False),
    Column("snapshot", String(80), nullable=False, default=""),  # key of what the last reading began with
    Column("began_at", Float, nullable=False, default=0.0),  # its last_arrival then
    Column("attempt", Integer, nullable=False, default=0),  # how many readings began
    Column("seconds", JSON, nullable=False, default=dict),
    Column("updated_at", Float, nullable=False),
    Index("studies_by_state", "state", "last_arrival"),
)

readings = Table(
    "readings",
    metadata,
    Column("reading_uid", String(64), primary_key=True),
    Column("patient", String(64), nullable=False, default=""),
    Column("study", String(64), nullable=False),
    Column("key", String(80), nullable=False),
    Column("chosen", String(80), nullable=False),  # key of the inbox names that it was made from, in order
    Column("made_at", Float, nullable=False),
    Index("readings_of_study", "study"),
    Index("readings_of_patient", "patient"),
)

results = Table(
    "results",
    metadata,
    Column("reading_uid", String(64), primary_key=True),
    Column("kind", String(10), primary_key=True),  # SEG, SR
    Column("destination", String(64), primary_key=True),
    Column("study", String(64), nullable=False),
    Column("key", String(80), nullable=False),  # in the outbox
    Column("state", String(20), nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("text", Text, nullable=False, default=""),
    Column("updated_at", Float, nullable=False),
    Index("results_of_study", "study"),
)
