// The rights of the role that the service runs as: it may add to the log and never change it; it
// owns the read models; it may create nothing elsewhere.
import { inTransaction, type Sql, type Tx } from "../connections/postgres.ts";

export type Login = { role: string; password: string };

export async function grantService(sql: Sql, { role, password }: Login): Promise<void> {
  await inTransaction(sql, async (tx) => {
    await ensureRole(tx, role, password);
    await grantTables(tx, role);
    await giveReadModels(tx, role);
  });
}

async function ensureRole(tx: Tx, role: string, password: string): Promise<void> {
  // Two migrate runs in one cluster may collide here; roles belong to the cluster, not the
  // database.
  await tx`select pg_advisory_xact_lock(hashtext(${role}))`;
  const [{ statement } = { statement: "" }] = await tx<{ statement: string }[]>`
    select format(
      case when exists (select from pg_roles where rolname = ${role})
        then 'alter role %I login nosuperuser nocreatedb nocreaterole password %L'
        else 'create role %I login nosuperuser nocreatedb nocreaterole password %L' end,
      ${role}::text, ${password}::text) as statement`;
  await tx.unsafe(statement);
}

async function grantTables(tx: Tx, role: string): Promise<void> {
  const to = tx(role);
  await tx`revoke create on schema public from public`;
  await tx`grant usage on schema public to ${to}`;
  await tx`revoke all on all tables in schema public from ${to}`;
  await tx`grant select, insert on events to ${to}`;
  await tx`grant select, update on counter to ${to}`;
  await tx`grant select, insert, delete on keys to ${to}`;
  await tx`grant select, insert, update, delete on idempotency, checkpoints, nginx_contacts
    to ${to}`;
  await tx`grant select, insert, update on settings, shown_totals, access_log_progress to ${to}`;
  await tx`grant select on migrations to ${to}`;
  await tx`grant usage, select, update on all sequences in schema public to ${to}`;
  await tx`do $$ begin execute format('revoke temporary on database %I from public',
    current_database()); end $$`;
}

async function giveReadModels(tx: Tx, role: string): Promise<void> {
  await tx`alter schema read owner to ${tx(role)}`;
  const tables = await tx<{ name: string }[]>`
    select c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'read' and c.relkind = 'r'`;
  for (const { name } of tables) await tx`alter table ${tx(`read.${name}`)} owner to ${tx(role)}`;
}
