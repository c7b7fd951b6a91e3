-- The highest total of a page's views that anybody was shown, where the log does not know it yet: what
-- is still in one replica's Redis or memory, no other replica could tell, and would show fewer.

create table shown_totals (
  page  text   primary key,
  total bigint not null
) with (fillfactor = 50);
