/**
 * Prometheus' text format, version 0.0.4, as far as this server needs it: counters and gauges with labels, histograms
 * without. Written by hand because it is small and because its one hot path, `observe`, is a loop over a dozen numbers.
 */
interface Metric {
  render(): string;
}

type Labels = Readonly<Record<string, string | number>>;

export class Registry {
  readonly #metrics: Metric[] = [];

  counter(name: string, help: string): Counter {
    return this.#add(new Counter(name, help));
  }

  /** `read` is called for each report. */
  gauge(name: string, help: string, read: () => number): void {
    this.#add({ render: () => `${head(name, help, "gauge")}${name} ${read()}\n` });
  }

  /** As a gauge, for numbers that never fall and are counted elsewhere. */
  countedElsewhere(name: string, help: string, read: () => number): void {
    this.#add({ render: () => `${head(name, help, "counter")}${name} ${read()}\n` });
  }

  histogram(name: string, help: string, bounds: readonly number[]): Histogram {
    return this.#add(new Histogram(name, help, bounds));
  }

  render(): string {
    return this.#metrics.map((metric) => metric.render()).join("");
  }

  #add<Kind extends Metric>(metric: Kind): Kind {
    this.#metrics.push(metric);
    return metric;
  }
}

export class Counter implements Metric {
  readonly #name: string;
  readonly #help: string;
  /** By labels, as they are printed. */
  readonly #values = new Map<string, number>();

  constructor(name: string, help: string) {
    this.#name = name;
    this.#help = help;
  }

  add(amount: number, labels: Labels = {}): void {
    const key = printed(labels);
    this.#values.set(key, (this.#values.get(key) ?? 0) + amount);
  }

  /** Of the counter without labels. */
  get value(): number {
    return this.#values.get("") ?? 0;
  }

  render(): string {
    const rows = this.#values.size === 0 ? [["", 0] as const] : [...this.#values];
    return (
      head(this.#name, this.#help, "counter") + rows.map(([key, value]) => `${this.#name}${key} ${value}\n`).join("")
    );
  }
}

class Histogram implements Metric {
  readonly #name: string;
  readonly #help: string;
  readonly #bounds: readonly number[];
  /** For each bound, how many values were at most that. */
  readonly #counts: number[];
  #count = 0;
  #sum = 0;

  constructor(name: string, help: string, bounds: readonly number[]) {
    this.#name = name;
    this.#help = help;
    this.#bounds = bounds;
    this.#counts = bounds.map(() => 0);
  }

  observe(value: number): void {
    this.#count += 1;
    this.#sum += value;
    for (const [index, bound] of this.#bounds.entries()) if (value <= bound) this.#counts[index]! += 1;
  }

  render(): string {
    const name = this.#name;
    const buckets = this.#bounds.map((bound, index) => `${name}_bucket{le="${bound}"} ${this.#counts[index]}\n`);
    const last = `${name}_bucket{le="+Inf"} ${this.#count}\n${name}_sum ${this.#sum}\n${name}_count ${this.#count}\n`;
    return head(name, this.#help, "histogram") + buckets.join("") + last;
  }
}

function head(name: string, help: string, type: string): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
}

function printed(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}=${JSON.stringify(String(value))}`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}
