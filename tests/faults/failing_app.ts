// The service beside code that rejects a promise nothing awaits, as a library may: SIGUSR1 triggers it.
Deno.addSignalListener("SIGUSR1", () => {
  Promise.reject(new Error("rejected beside the service"));
});
await import("$src/main.ts");
