"""The SQL of the audit trail in every service's database, for migrations. A released statement is never edited.

The database itself makes the number, the time, the role and the hash of a row, and refuses to change one. So a process
that may only insert can forge none of them.
"""

AUDIT = """
create table audit (
    id       bigint generated always as identity primary key,
    at       timestamptz not null default clock_timestamp(),
    role     text not null default session_user,
    who      text not null check (length(who) between 1 and 200),
    action   text not null check (length(action) between 1 and 100),
    outcome  text not null check (outcome in ('done', 'refused')),
    order_id uuid,
    detail   json not null default '{}' check (length(detail::text) <= 4000),
    hash     bytea not null check (length(hash) = 32)
)
"""
AUDIT_BY_ORDER = "create index audit_order on audit (order_id, id) where order_id is not null"

# The text of a JSON array is one for all writers, and `content_hash` makes the same one.
HASH = """
create function audit_hash() returns trigger language plpgsql set search_path = pg_catalog as $$
begin
    new.hash := sha256(convert_to(jsonb_build_array(
        new.id, to_char(new.at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), new.role, new.who, new.action,
        new.outcome, new.order_id, new.detail::text
    )::text, 'UTF8'));
    return new;
end $$
"""
HASHED = "create trigger hashed before insert on audit for each row execute function audit_hash()"

SEALS = """
create table audit_seals (
    number   bigint primary key check (number > 0),
    at       timestamptz not null default clock_timestamp(),
    first_id bigint not null,
    last_id  bigint not null check (last_id >= first_id),
    entries  integer not null check (entries > 0),
    hash     bytea not null unique check (length(hash) = 32)
)
"""

APPEND_ONLY = """
create function audit_is_append_only() returns trigger language plpgsql set search_path = pg_catalog as $$
begin
    raise exception 'the audit trail is append-only: % of % is refused', tg_op, tg_table_name
        using errcode = 'insufficient_privilege';
end $$
"""
KEPT = """
create trigger append_only before update or delete or truncate on {table}
for each statement execute function audit_is_append_only()
"""
ALWAYS_KEPT = "alter table {table} enable always trigger append_only"

# The lock waits for the rows that are being written, and for another seal. So no row with a lower number can appear
# later. Its holder writes no row of the trail, so it cannot deadlock.
SEAL = """
create function seal_audit() returns setof audit_seals language plpgsql security definer as $$
declare
    before audit_seals;
    sealed audit_seals;
    hashes bytea;
begin
    select * into before from audit_seals order by number desc limit 1;
    if not exists (select from audit where id > coalesce(before.last_id, 0)) then
        return;
    end if;
    perform set_config('lock_timeout', '1s', true);
    lock table audit in share row exclusive mode;
    select * into before from audit_seals order by number desc limit 1;
    select count(*), max(id), string_agg(hash, '' order by id)
    into sealed.entries, sealed.last_id, hashes
    from (select id, hash from audit where id > coalesce(before.last_id, 0) order by id limit 10000) as next_ones;
    if sealed.entries = 0 then
        return;
    end if;
    sealed.number := coalesce(before.number, 0) + 1;
    sealed.at := clock_timestamp();
    sealed.first_id := coalesce(before.last_id, 0) + 1;
    sealed.hash := sha256(convert_to(jsonb_build_array(
        sealed.number, to_char(sealed.at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), sealed.first_id,
        sealed.last_id, sealed.entries, encode(before.hash, 'hex')
    )::text, 'UTF8') || hashes);
    insert into audit_seals select sealed.*;
    return next sealed;
end $$
"""

# A function that runs with the rights of the owner finds the tables of its own schema, and nothing that a caller has
# put before them.
OWN_SCHEMA = """
do $$ begin
    execute format('alter function {function} set search_path = pg_catalog, %I, pg_temp', current_schema());
end $$
"""
NOT_FOR_EVERYBODY = "revoke execute on function {function} from public"

AUDIT_TRAIL = (
    AUDIT,
    AUDIT_BY_ORDER,
    HASH,
    HASHED,
    SEALS,
    APPEND_ONLY,
    *(statement.format(table=table) for table in ("audit", "audit_seals") for statement in (KEPT, ALWAYS_KEPT)),
    SEAL,
    OWN_SCHEMA.format(function="seal_audit()"),
    NOT_FOR_EVERYBODY.format(function="seal_audit()"),
)

NO_AUDIT_TRAIL = (
    "drop function seal_audit()",
    "drop table audit_seals",
    "drop table audit",
    "drop function audit_hash()",
    "drop function audit_is_append_only()",
)
