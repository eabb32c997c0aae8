import { setTimeout as delay } from 'node:timers/promises'
import { Failure, isFailure } from '../../core/failure.js'
import { changeTries, changing, type S3Context } from './context.js'
import { fileKey } from './keys.js'
import { lookAtTarget, type Target, type TargetPresent } from './look.js'
import type { StoredObject, WriteCondition } from './service.js'

const pauseMilliseconds = 20

/** A look that is older is not trusted with what no condition covers: the parent, and directories of that name. */
const freshMilliseconds = 2000

/** The last step of all that gives a name to a file. */
export interface LastStep {
  /** As it was seen and judged before. */
  readonly target: Target
  /** When that was, of `performance.now()`; just now by default. */
  readonly seen?: number
  /** Parents need not be there. */
  readonly parents?: boolean | undefined
  /** Throws where what is there now forbids the step. */
  readonly judge: (present: TargetPresent | undefined) => void
  /** The service judges conditions on what it then does. */
  readonly isConditional: boolean
  /** Throws `precondition` where the condition does not hold any more. */
  readonly put: (condition: WriteCondition | undefined, signal: AbortSignal | undefined) => Promise<StoredObject>
}

export interface Committed {
  readonly stored: StoredObject
  /** What has been replaced. */
  readonly target: Target
}

/**
 * Does the last step so that what was judged is what is replaced: by a condition on it, in a turn where the service does
 * not judge all conditions. Looks and judges again where another change came between; throws `unavailable` where there is
 * no end of that.
 */
export async function commit(context: S3Context, step: LastStep): Promise<Committed> {
  return await changing(context, fileKey(step.target.path), async (signal) => {
    // What was seen before holds only where the service checks that it still does.
    const age = step.seen === undefined ? 0 : performance.now() - step.seen
    const isGood = step.isConditional && age < freshMilliseconds
    let target = isGood ? step.target : await lookAgain(context, step, signal)
    for (let tries = 1; ; tries++) {
      try {
        const stored = await step.put(step.isConditional ? conditionOn(target) : undefined, signal)
        return { stored, target }
      } catch (error) {
        if (!isFailure(error, 'precondition')) throw error
        const seen = await lookAgain(context, step, signal)
        if (tries === changeTries) throw busy(error)
        // The service may refuse two changes of a key at the same time, of which none is done yet.
        if (seen.present?.etag === target.present?.etag) await delay(Math.random() * pauseMilliseconds * tries)
        target = seen
      }
    }
  })
}

/** A change that lost against others again and again. */
export function busy(cause: unknown): Failure {
  return new Failure('unavailable', 'The file is being changed by others. Try again.', { retryAfterSeconds: 1, cause })
}

async function lookAgain(
  context: S3Context,
  { target, parents, judge }: LastStep,
  signal: AbortSignal | undefined,
): Promise<Target> {
  const seen = await lookAtTarget(context, target.path, { parents, careful: true, signal })
  judge(seen.present)
  if (seen.key !== target.key) throw busy(new Error('It has another key by now.'))
  return seen
}

function conditionOn({ present }: Target): WriteCondition {
  return present === undefined ? { absent: true } : { etag: present.etag }
}
