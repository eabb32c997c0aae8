import { fileURLToPath } from 'node:url'

/** The program that asks PAM, with its arguments: this very Node, without threads and memory that it has no use for. */
export function pamHelperCommand(): readonly string[] {
  const script = fileURLToPath(new URL('../../bin/pam-helper.js', import.meta.url))
  return [process.execPath, '--v8-pool-size=0', '--max-old-space-size=64', script]
}
