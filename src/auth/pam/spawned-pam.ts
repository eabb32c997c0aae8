import { spawn } from 'node:child_process'
import type { Socket } from 'node:net'
import { answerDescriptor, questionDescriptor } from './question.js'

/** A process that asks PAM, as it was started. */
export interface PamHelper {
  /** Where this process has started it. */
  readonly pid: number | undefined
  /** Undefined where it could not be started. One socket may be both. */
  readonly questions: Socket | undefined
  readonly answers: Socket | undefined
  /** Resolves, with how it ended, when it is gone or can no longer be reached. */
  readonly gone: Promise<string>
  /** Ends it at once, with all that it has started. */
  kill(): void
}

/** Starts a process that asks PAM. */
export type StartPam = () => PamHelper | Promise<PamHelper>

/**
 * Starts the program, with its arguments, that runs `servePam`. It is reached by two pipes and holds nothing of this process
 * beside them, neither its environment nor its descriptors.
 */
export function spawnedPam([program = '', ...args]: readonly string[]): StartPam {
  return () => {
    const child = spawn(program, args, {
      cwd: '/',
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
      // A group of its own, so that what it has started ends with it.
      detached: true,
    })
    const gone = new Promise<string>((resolve) => {
      child.once('error', (error) => resolve(error.message))
      child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code ?? 'unknown'}`))
    })
    const questions = child.stdio[questionDescriptor] as Socket | undefined
    const answers = child.stdio[answerDescriptor] as Socket | undefined
    // It must not keep a server alive that wants to end.
    child.unref()
    questions?.unref()
    answers?.unref()
    return {
      pid: child.pid,
      questions,
      answers,
      gone,
      kill() {
        if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
        try {
          process.kill(-child.pid, 'SIGKILL')
        } catch {
          // It has gone by itself.
        }
      },
    }
  }
}
