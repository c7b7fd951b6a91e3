// The short form of tests/long/memory_test.ts: sampled more often, with a tenth of the events.
import { describe } from "@std/testing/bdd";
import { memorySuite } from "../long/memory.ts";

describe("the tasks of the log, with 100,000 events", () => memorySuite(100_000, 100));
