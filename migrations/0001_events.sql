-- The log: one table, one counter, and what an append needs to know. Times are kept to the
-- millisecond that the seal covers: what is finer could be changed without breaking it.

create table events (
  position bigint primary key,
  stream   text collate "C" not null,
  version  bigint         not null,
  type     text           not null,
  data     jsonb          not null,
  meta     jsonb          not null,
  at       timestamptz(3) not null,
  seal     text           not null,
  unique (stream, version)
);

create index events_by_type on events (type, position);

create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'the log is append-only: % on % refused', tg_op, tg_table_name
    using errcode = 'restrict_violation';
end
$$;

create trigger append_only before update or delete or truncate on events
  for each statement execute function refuse_change();

-- The counter's lock puts every append in order: whoever holds this row is the only writer.
create table counter (
  single   boolean        primary key default true check (single),
  position bigint         not null,
  seal     text           not null,
  at       timestamptz(3) not null
);

insert into counter (position, seal, at) values (0, repeat('0', 64), '1970-01-01Z');

-- Keys of personal fields: deleting one is what erasing means.
create table keys (
  subject text  primary key,
  key     bytea not null
);

-- The positions of an answer already given, never its text.
create table idempotency (
  scope       text        not null,
  key         text        not null,
  fingerprint text        not null,
  first       bigint      not null,
  last        bigint      not null,
  at          timestamptz not null,
  primary key (scope, key)
);

create index idempotency_by_age on idempotency (at);

-- What replicas share and no event tells: secrets made at first start.
create table settings (
  name  text primary key,
  value text not null
);

-- How far the follower has brought the caches, and what else works through the log.
create table checkpoints (
  name     text primary key,
  position bigint not null
);

create sequence entry_ids;
create sequence user_ids;
create sequence item_ids;
create sequence poll_ids;

create schema read;

create table read.projections (
  name     text   primary key,
  revision int    not null,
  position bigint not null,
  error    text,
  -- How far a rebuild beside the live tables has come, and of which revision it is.
  rebuild          bigint,
  rebuild_revision int
);
