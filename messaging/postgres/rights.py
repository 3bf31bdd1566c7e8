"""The roles of a service's database, and what each may do there.

The roles of a service share a prefix: `oms_order_migrator` owns the tables, `oms_order_app` is the api and the
consumer, `oms_order_relay` the relay, and `oms_order_operator` a person's commands. What a role needs is declared here
once. `oms roles` and `oms migrate` grant it, and readiness looks whether it is there.
"""

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

Rights: TypeAlias = Mapping[str, Sequence[str]]
"""The privileges on each table."""

_MIGRATOR: Final = "_migrator"

_READ: Final = ("select",)
_WRITTEN: Final = ("select", "insert", "update")
_ENTRY: Final = "insert (who, action, outcome, order_id, detail)"  # the database makes the rest of an audit entry
_KEYS_MADE_AND_REVOKED: Final = (  # and nothing that a key may do is changed
    "select",
    "insert (id, digest, caller, scopes, expires_at)",
    "update (revoked_at)",
)

_APPLICATION: Final[dict[str, Sequence[str]]] = {
    "alembic_version": _READ,
    "outbox": ("select", "insert"),
    "inbox": ("select", "insert", "delete"),
    "parked": ("select", "insert", "update", "delete"),
    "dead_letters": ("select", "insert"),
    "timelines": ("select", "insert"),
    "audit": (_ENTRY,),
    "api_keys": _READ,
}
_FUNCTIONS: Final = ("keep_inbox()", "seal_audit()")
_RELAY: Final[Rights] = {
    "alembic_version": _READ,
    "outbox": ("select", "delete"),
    "audit": (_ENTRY,),  # its port asks who wants to see its metrics, and notes whom it refused
    "api_keys": _READ,
}
_OPERATOR: Final[dict[str, Sequence[str]]] = _APPLICATION | {
    "dead_letters": ("select", "insert", "delete"),
    "audit": ("select", _ENTRY),
    "audit_seals": _READ,
    "api_keys": _KEYS_MADE_AND_REVOKED,
}


def rights_needed(tables: Sequence[str], *, application: bool, relay: bool) -> Rights:
    """What a process needs of these tables, if it is the api or the consumer, and if it is a relay."""
    needed: dict[str, set[str]] = {table: set() for table in tables}
    for table in tables:
        if application:
            needed[table].update(_APPLICATION.get(table, _WRITTEN))
        if relay:
            needed[table].update(_RELAY.get(table, ()))
    return {table: sorted(privileges) for table, privileges in needed.items()}


def grants(prefix: str, tables: Sequence[str]) -> str:
    """The statement that gives the roles with this prefix what they need, and nothing else, of the tables that are
    there. The owner of the tables can run it, any number of times."""
    own: dict[str, Sequence[str]] = dict.fromkeys(tables, _WRITTEN)
    by_role: Mapping[str, Rights] = {
        f"{prefix}_app": own | _APPLICATION,
        f"{prefix}_relay": _RELAY,
        f"{prefix}_operator": own | _OPERATOR,
    }
    wanted = ",\n        ".join(
        f"('{role}', '{table}', '{', '.join(privileges)}')"
        for role, rights in by_role.items()
        for table, privileges in rights.items()
    )
    roles_with_rights = ", ".join(f"'{role}'" for role in by_role)
    functions = ", ".join(f"'{function}'" for function in _FUNCTIONS)
    return f"""do $$
declare
    each record;
begin
    for each in select c.oid::regclass as name, r.rolname as role from pg_class c, pg_roles r
        where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p', 'v', 'S')
        and r.rolname in ({roles_with_rights})
    loop
        execute format('revoke all on %s from %I', each.name, each.role);
    end loop;
    for each in select g.privileges, to_regclass(g.name) as name, g.role from (values
        {wanted}
    ) as g(role, name, privileges) where to_regclass(g.name) is not null and to_regrole(g.role) is not null
    loop
        execute format('grant %s on %s to %I', each.privileges, each.name, each.role);
    end loop;
    for each in select to_regprocedure(f.name) as name from unnest(array[{functions}]) as f(name)
        where to_regprocedure(f.name) is not null and to_regrole('{prefix}_app') is not null
    loop
        execute format('grant execute on function %s to {prefix}_app', each.name);
    end loop;
end $$;"""


def prefix_of(migrator: str) -> str | None:
    """The prefix of the roles, if the name is that of a migrator."""
    return migrator.removesuffix(_MIGRATOR) if migrator.endswith(_MIGRATOR) else None


def roles(prefix: str, tables: Sequence[str], service: str) -> str:
    """The SQL that makes the roles with this prefix, for a superuser in the service's database."""
    migrator, app, relay, operator = (prefix + name for name in (_MIGRATOR, "_app", "_relay", "_operator"))
    width = len(migrator) + 2
    return f"""-- The roles of the {service} service. A superuser runs this in the service's database, before the first
-- `oms migrate {service}` or after it, any number of times.
--
--   {migrator:{width}}owns the tables: oms migrate {service}, which grants to the others what a release needs
--   {app:{width}}oms serve {service} --roles api,consumer
--   {relay:{width}}oms serve {service} --roles relay
--   {operator:{width}}a person's commands: oms orders, dead-letters, parked, audit, status
--
-- The roles have no passwords yet: \\password {app}
begin;

do $$
declare
    name text;
begin
    foreach name in array array['{migrator}', '{app}', '{relay}', '{operator}'] loop
        if to_regrole(name) is null then
            execute format('create role %I login', name);
        end if;
    end loop;
end $$;

do $$ begin
    execute format('revoke all on database %I from public', current_database());
    execute format('grant connect, temporary on database %I to {migrator}', current_database());
    execute format('grant connect on database %I to {app}, {relay}, {operator}', current_database());
    execute format('revoke all on schema %I from public', current_schema());
    execute format('grant usage, create on schema %I to {migrator}', current_schema());
    execute format('grant usage on schema %I to {app}, {relay}, {operator}', current_schema());
end $$;

-- What another role has made so far becomes the migrator's. That role becomes a member, so that processes which log in
-- as it go on. When none is left: revoke {migrator} from …
do $$
declare
    each record;
begin
    for each in select o.*, r.rolname, r.rolsuper from (
            select 'table' as kind, c.oid::regclass::text as name, c.oid, c.relowner as owner, c.relnamespace as schema
            from pg_class c where c.relkind in ('r', 'p')
            union all
            select 'function', p.oid::regprocedure::text, p.oid, p.proowner, p.pronamespace from pg_proc p
        ) as o join pg_roles r on r.oid = o.owner
        where o.schema = current_schema()::regnamespace and r.rolname <> '{migrator}'
        and not exists (select from pg_depend d where d.objid = o.oid and d.deptype = 'e')
    loop
        execute format('alter %s %s owner to {migrator}', each.kind, each.name);
        if not each.rolsuper and not pg_has_role(each.rolname, '{migrator}', 'member') then
            execute format('grant {migrator} to %I', each.rolname);
        end if;
    end loop;
end $$;

{grants(prefix, tables)}

commit;
"""
