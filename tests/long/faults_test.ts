// The long forms of what tests/faults and tests/attacks try: five minutes, 10,000 voters, 100,000 requests.
Deno.env.set("LONG", "true");
await import("../faults/faults_test.ts");
await import("../faults/herd_test.ts");
await import("../attacks/fuzz_test.ts");
