import { describe } from "@std/testing/bdd";
import { memorySuite } from "./memory.ts";

describe("the tasks of the log, with 1,000,000 events", () => memorySuite(1_000_000, 1000));
