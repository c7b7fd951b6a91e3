-- Checkpoints are of one log: `site` says which, and is 1 where there is one. What is no position of a
-- log leaves this table.

alter table checkpoints add column site int not null default 1;
alter table checkpoints drop constraint checkpoints_pkey;
alter table checkpoints add primary key (site, name);
delete from checkpoints where starts_with(name, 'nginx') or name = 'follower';

-- Each Nginx that has been told of every change up to the checkpoint 'freshness', and under which epoch
-- of its page versions. One that is not here is told to raise them all before it counts.
create table nginx_contacts (
  url   text primary key,
  epoch text not null
);

-- How far Nginx' access log has been counted, and how its cache did.
create table access_log_progress (
  site        int    primary key,
  file        text   not null,
  byte_offset bigint not null,
  lookups     jsonb  not null
);

insert into access_log_progress (site, file, byte_offset, lookups)
select 1, value::jsonb->>'file', (value::jsonb->>'offset')::bigint, value::jsonb->'counts'
from settings where name = 'access-log';

delete from settings where name = 'access-log';
