// Tests wait for conditions, with a deadline; they never sleep for luck.
export { waitFor } from "$src/async/wait_for.ts";
