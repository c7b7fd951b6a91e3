// Lines of a file or a pipe, as they arrive.
import { AppError } from "../errors.ts";

// Far more than an event may hold: a longer line is no log, and must not fill the memory.
const LONGEST = 4_000_000;

/** Invalid UTF-8 becomes a replacement character, which fits no seal: the error then names the line. */
export async function* linesOf(
  source: ReadableStream<Uint8Array>,
  signal?: AbortSignal,
): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let number = 0;
  let rest = "";
  for await (const chunk of source.pipeThrough(new TransformStream(), { signal })) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    number += lines.length;
    yield* lines;
    if (rest.length > LONGEST) {
      const message = `line ${number + 1} refused: longer than ${LONGEST} characters`;
      throw new AppError("invalid", message);
    }
  }
  rest += decoder.decode();
  if (rest !== "") yield rest;
}
