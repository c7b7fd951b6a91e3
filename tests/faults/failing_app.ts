// The service beside code that fails where nothing awaits it, as a library's may: SIGUSR1 rejects a promise.
Deno.addSignalListener("SIGUSR1", () => {
  Promise.reject(new Error("rejected beside the service"));
});
await import("$src/main.ts");
