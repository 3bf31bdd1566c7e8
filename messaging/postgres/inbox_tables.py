"""The SQL that keeps the inbox's partitions, for migrations. A released statement is never edited.

Whoever makes or drops a partition owns the table. The service's role does not: it calls `keep_inbox()`, which runs with
the owner's rights, takes no argument and goes by the clock of the database.
"""

from messaging.postgres.audit_tables import NOT_FOR_EVERYBODY

# The first 48 bits of a UUIDv7 are milliseconds since 1970.
_FIRST_ID = """
create function first_id_of(day date) returns uuid language sql immutable as $$
    select (lpad(to_hex((extract(epoch from day::timestamp) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$
"""

# Claims wait while partitions change. The lock waits for claims, but not for a long transaction of another client. A
# day's partition can be created only while the default partition has none of its ids.
_KEEP_OF = """
create function keep_inbox_of(today date) returns void language plpgsql as $$
declare
    days constant date[] := array(select today + n from generate_series(-15, 2) as n order by n);
    there text[];
    missing date[];
    past text[];
    day date;
    name text;
begin
    perform pg_advisory_xact_lock(1768842863), set_config('lock_timeout', '2s', true);
    there := array(
        select c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'inbox'::regclass and c.relname <> 'inbox_default'
    );
    missing := array(select d from unnest(days) as d where to_char(d, '"inbox_"YYYYMMDD') <> all (there));
    past := array(select p from unnest(there) as p where p < to_char(days[1], '"inbox_"YYYYMMDD'));
    if cardinality(missing) + cardinality(past) = 0 then
        return;
    end if;
    lock table inbox in access exclusive mode;
    create temporary table strays on commit drop as select event_id from inbox_default;
    truncate inbox_default;
    foreach day in array missing loop
        execute format(
            'create table %I partition of inbox for values from (%L) to (%L)',
            to_char(day, '"inbox_"YYYYMMDD'), first_id_of(day), first_id_of(day + 1)
        );
    end loop;
    foreach name in array past loop
        execute format('drop table %I', name);
    end loop;
    insert into inbox select event_id from pg_temp.strays where event_id >= first_id_of(days[1]);
end $$
"""
_KEEP = """
create function keep_inbox() returns void language plpgsql security definer as $$
begin
    perform keep_inbox_of((clock_timestamp() at time zone 'utc')::date);
end $$
"""
# It finds the tables and functions of its own schema, and nothing that a caller has put before them. New partitions go
# into the first schema that is named.
_OWN_SCHEMA = """
do $$ begin
    execute format('alter function keep_inbox() set search_path = %I, pg_temp', current_schema());
end $$
"""

KEEP_INBOX = (
    _FIRST_ID,
    _KEEP_OF,
    _KEEP,
    _OWN_SCHEMA,
    *(
        NOT_FOR_EVERYBODY.format(function=function)
        for function in ("first_id_of(date)", "keep_inbox_of(date)", "keep_inbox()")
    ),
)
KEEP_NO_INBOX = ("drop function keep_inbox()", "drop function keep_inbox_of(date)", "drop function first_id_of(date)")
