/**
 * Work that is done now and again, beside requests. It is done at least once: a runner may die in the middle or after the
 * last step, and then another does it from the start. So doing it twice must do no harm.
 */
export interface Job {
  /** Lower case and hyphens, as commands and the configuration name it. */
  readonly name: string
  /** Between the end of one run and the beginning of the next. */
  readonly everySeconds: number
  /** A run that takes longer is told to end, and counts as failed; an hour without it. */
  readonly limitSeconds?: number
  /** For each host by itself: it is about what lies there. Else one process of all does it. */
  readonly perHost?: true
  /** Whether there is anything to do, cheaply: asked first where only the time has come for it. */
  wanted?(): Promise<boolean>
  /** Ends early, by throwing, where the signal says so. What it throws is logged and shown, and the job is tried again. */
  run(signal: AbortSignal): Promise<JobReport>
}

/** What a run has done. */
export interface JobReport {
  /** By what was done, in words: `{ uploads: 3 }`. */
  readonly counts: Readonly<Record<string, number>>
  /** What could not be done, in sentences: it is logged, and the job comes back to it sooner. */
  readonly left?: readonly string[]
}

/** The end of a run, as it is remembered. */
export interface JobOutcome {
  /** `partly` where something was left. */
  readonly result: 'done' | 'partly' | 'failed'
  readonly counts: Readonly<Record<string, number>>
  readonly left: readonly string[]
  /** Why it failed. */
  readonly why?: string
  /** Milliseconds since the epoch. */
  readonly began: number
  readonly ended: number
  /** The process that ran it. */
  readonly by: string
}
