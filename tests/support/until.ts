// Tests wait for what they need, with a deadline; they never sleep for luck.
export { waitFor } from "$src/async/wait_for.ts";
