// How many rounds the long trials take: a short form in the suite, all of it with `deno task test:long`.
export const LONG = Deno.env.get("LONG") !== undefined;

export function rounds(short: number, long: number): number {
  return LONG ? long : short;
}
