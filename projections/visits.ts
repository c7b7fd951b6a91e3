// How often each page was viewed, as far as the log knows.
import type { Sql } from "$src/connections/postgres.ts";
import type { Projection } from "./projection.ts";

export const visits: Projection = {
  name: "visits",
  revision: 1,
  tables: ["visits"],

  async create(tx, table) {
    await tx`
      create table ${table("visits")} (
        page  text   primary key,
        views bigint not null
      )`;
  },

  handlers: {
    VisitsCounted: (tx, events, table) =>
      tx`
        insert into ${table("visits")} as v (page, views)
        select page, sum(count)
        from unnest(${events.map((e) => e.data.page)}::text[],
          ${events.map((e) => e.data.count)}::bigint[]) c(page, count)
        group by page
        on conflict (page) do update set views = v.views + excluded.views`,
  },

  bulkLoad: {
    type: "VisitsCounted",
    firstInStream: false,
    set: (tx, page, table) =>
      tx`
        insert into ${table("visits")} as v (page, views)
        select
          case when jsonb_typeof(data->'page') = 'string'
              and jsonb_typeof(data->'count') = 'number'
              and (data->>'count')::bigint between 1 and ${Number.MAX_SAFE_INTEGER}
              and (not data ? 'shown' or jsonb_typeof(data->'shown') = 'number'
                and (data->>'shown')::bigint between 1 and ${Number.MAX_SAFE_INTEGER})
              and data - array['page', 'count', 'shown'] = '{}'
            then data->>'page' end,
          sum((data->>'count')::bigint)
        from ${page}
        group by 1
        on conflict (page) do update set views = v.views + excluded.views`,
  },

  stale: {},
};

export async function viewsOf(sql: Sql, page: string): Promise<number> {
  const [row] = await sql<{ views: number }[]>`
    select views from read.visits where page = ${page}`;
  return row?.views ?? 0;
}
