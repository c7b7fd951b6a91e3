// Nginx' access log, parsed.

export type Line = {
  id: string;
  method: string;
  uri: string;
  status: number;
  cache: string;
  type: string;
  wish: string;
};

export async function readLog(path: string): Promise<Line[]> {
  const text = await Deno.readTextFile(path);
  return text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
}
