// The metrics of the service, as Prometheus text.
import { Counter, Gauge, Histogram, Registry } from "prom-client";

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export class Metrics {
  readonly registry = new Registry();

  readonly requests = new Histogram({
    name: "tallybook_request_seconds",
    help: "How long requests took",
    labelNames: ["method", "route", "status"],
    buckets: SECONDS,
    registers: [this.registry],
  });
  readonly appends = new Counter({
    name: "tallybook_appends_total",
    help: "Appends taken into the log",
    registers: [this.registry],
  });
  readonly events = new Counter({
    name: "tallybook_events_total",
    help: "Events written to the log",
    registers: [this.registry],
  });
  readonly batches = new Histogram({
    name: "tallybook_batch_appends",
    help: "Appends that went together into one transaction",
    buckets: [1, 2, 5, 10, 25, 50, 100, 250, 500],
    registers: [this.registry],
  });
  readonly batchSeconds = new Histogram({
    name: "tallybook_batch_seconds",
    help: "How long a batch took to be durable",
    buckets: SECONDS,
    registers: [this.registry],
  });
  readonly pending = new Counter({
    name: "tallybook_visible_pending_total",
    help: "Writes answered before they were visible everywhere",
    registers: [this.registry],
  });
  readonly nginxFailures = new Counter({
    name: "tallybook_nginx_failures_total",
    help: "Requests to raise page versions that an Nginx did not answer",
    labelNames: ["nginx"],
    registers: [this.registry],
  });
  readonly listeners = new Gauge({
    name: "tallybook_live_listeners",
    help: "Open server-sent event streams",
    registers: [this.registry],
  });

  readonly unhandled = new Counter({
    name: "tallybook_failures_total",
    help: "Requests answered with a 500",
    registers: [this.registry],
  });
  readonly rejections = new Counter({
    name: "tallybook_unhandled_rejections_total",
    help: "Promises that were rejected while nothing handled them",
    registers: [this.registry],
  });

  /** Values that are read with the metrics; a value that cannot be read is left out. */
  gauge(
    { name, help, labelNames = [] }: { name: string; help: string; labelNames?: string[] },
    read: () => Promise<Sample[]> | Sample[],
  ): void {
    new Gauge({
      name,
      help,
      labelNames,
      registers: [this.registry],
      async collect() {
        this.reset();
        for (const { labels = {}, value } of await read()) this.set(labels, value);
      },
    });
  }
}

export type Sample = { labels?: Record<string, string>; value: number };
