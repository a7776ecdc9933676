import { SingleBar } from "cli-progress";

/** A bar with rate and time left. Cheap to call often: the terminal is redrawn at most ten times a second. */
export interface Progress {
  /** `total` may become known, or grow, on the way. */
  update(done: number, total: number): void;
  stop(): void;
}

const SILENT: Progress = { update: () => undefined, stop: () => undefined };

const scaled = (value: number): string => {
  if (!Number.isFinite(value)) return "0";
  for (const [size, suffix] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]] as const) {
    if (value >= size) return `${(value / size).toFixed(value / size >= 100 ? 0 : 1)} ${suffix}`;
  }
  return value.toFixed(0);
};

const clock = (seconds: number): string => {
  if (!Number.isFinite(seconds) || seconds < 0) return "--:--";
  const whole = Math.ceil(seconds);
  return `${String(Math.floor(whole / 60)).padStart(2, "0")}:${String(whole % 60).padStart(2, "0")}`;
};

/**
 * A progress bar on standard error. Silent when standard error is no terminal or `quiet` is set, so that logs, pipes and
 * --json documents never carry one.
 */
export function progressBar(title: string, unit: string, quiet: boolean): Progress {
  if (quiet || process.stderr.isTTY !== true) return SILENT;
  const startedMs = performance.now();
  const bar = new SingleBar({
    stream: process.stderr, fps: 10, hideCursor: true, clearOnComplete: true, barsize: 28, gracefulExit: false,
    barCompleteChar: "█", barIncompleteChar: "░",
    format: (_options: unknown, parameters: { progress: number; value: number; total: number }) => {
      const seconds = (performance.now() - startedMs) / 1000;
      const rate = parameters.value / Math.max(seconds, 1e-3);
      const filled = Math.round(28 * Math.min(1, parameters.progress));
      const left = (parameters.total - parameters.value) / rate;
      return `${title} ${"█".repeat(filled)}${"░".repeat(28 - filled)} ${(100 * parameters.progress).toFixed(0).padStart(3)} %  ${scaled(rate)} ${unit}/s  ${clock(left)} left`;
    },
  });
  let started = false;
  return {
    update(done, total) {
      if (!started) {
        bar.start(Math.max(1, total), done);
        started = true;
        return;
      }
      bar.setTotal(Math.max(1, total));
      bar.update(Math.min(done, total));
    },
    stop() {
      if (started) bar.stop();
    },
  };
}
