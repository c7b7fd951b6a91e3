// <script src="https://your.site/embed.js" data-poll="1"></script> shows that poll at its place in the
// page; with data-guestbook instead of data-poll, the guestbook.
(() => {
  const script = document.currentScript;
  const { origin } = new URL(script.src);
  const { poll, title } = script.dataset;
  const frame = document.createElement("iframe");
  frame.src = poll === undefined
    ? `${origin}/embed/guestbook`
    : `${origin}/embed/polls/${encodeURIComponent(poll)}`;
  frame.title = title ?? (poll === undefined ? "Guestbook" : "Poll");
  frame.loading = "lazy";
  Object.assign(frame.style, { width: "100%", height: "30rem", border: "0" });
  addEventListener("message", ({ source, origin: from, data }) => {
    if (source !== frame.contentWindow || from !== origin) return;
    const height = Number(data?.tallybook);
    if (height > 0) frame.style.height = `${Math.min(height, 20_000)}px`;
  });
  script.after(frame);
})();
