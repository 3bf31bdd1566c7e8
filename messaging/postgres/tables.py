"""The SQL of the tables in every service's database, for migrations. A released statement is never edited. A change is
a new statement in a new migration."""

OUTBOX = """
create table outbox (
    shard      smallint not null check (shard >= 0),
    id         bigint generated always as identity,
    event_id   uuid not null,
    topic      text not null,
    key        text not null,
    headers    json not null,
    value      bytea not null,
    created_at timestamptz not null default now(),
    primary key (shard, id)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0)
"""

# Event ids are UUIDv7 and begin with their time. So partitions by range are partitions by day, and ids stay unique.
INBOX = "create table inbox (event_id uuid primary key) partition by range (event_id)"
INBOX_DEFAULT = "create table inbox_default partition of inbox default"

PARKED = """
create table parked (
    id              bigint generated always as identity primary key,
    topic           text not null,
    "partition"     integer not null,
    "offset"        bigint not null,
    key             text not null,
    headers         json not null,
    value           bytea not null,
    error           text not null,
    attempts        integer not null check (attempts >= 0),
    parked_at       timestamptz not null default now(),
    next_attempt_at timestamptz not null default now()
)
"""
PARKED_BY_KEY = "create index parked_key on parked (key, id)"
# The place alone is not unique: the offsets of a recreated topic or of a new outbox start again.
PARKED_ONCE = 'create unique index parked_record on parked (topic, "partition", "offset", sha256(value))'

DEAD_LETTERS = """
create table dead_letters (
    id          bigint generated always as identity primary key,
    topic       text not null,
    "partition" integer not null,
    "offset"    bigint not null,
    key         text not null,
    headers     json not null,
    value       bytea not null,
    error       text not null,
    attempts    integer not null check (attempts >= 0),
    died_at     timestamptz not null default now()
)
"""
DEAD_ONCE = 'create unique index dead_letters_record on dead_letters (topic, "partition", "offset", sha256(value))'

# Where the service has run, in the order in which it saw the servers and their timelines.
TIMELINES = """
create table timelines (
    system_identifier bigint not null,
    timeline          integer not null check (timeline > 0),
    first_seen        timestamptz not null default clock_timestamp(),
    primary key (system_identifier, timeline)
)
"""

API_KEYS = """
create table api_keys (
    id         text primary key check (id ~ '^[0-9a-f]{16}$'),
    digest     bytea not null check (length(digest) = 32),
    caller     text not null check (length(caller) between 1 and 255),
    scopes     text[] not null,
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz,
    revoked_at timestamptz
)
"""

STAYS_REVOKED = """
create function api_key_stays_revoked() returns trigger language plpgsql set search_path = pg_catalog as $$
begin
    raise exception 'the API key % is revoked, and stays so', old.id using errcode = 'insufficient_privilege';
end $$
"""
REVOKED_ONCE = """
create trigger stays_revoked before update on api_keys for each row
when (old.revoked_at is not null and new.revoked_at is distinct from old.revoked_at)
execute function api_key_stays_revoked()
"""
API_KEYS_STAY_REVOKED = (STAYS_REVOKED, REVOKED_ONCE)
API_KEYS_DO_NOT_STAY_REVOKED = ("drop trigger stays_revoked on api_keys", "drop function api_key_stays_revoked()")

CONSUMING = (INBOX, INBOX_DEFAULT, PARKED, PARKED_BY_KEY, PARKED_ONCE, DEAD_LETTERS, DEAD_ONCE)

EVERY_SERVICES = ("outbox", "inbox", "parked", "dead_letters", "timelines", "audit")
"""The tables that a service needs which sends and consumes."""
