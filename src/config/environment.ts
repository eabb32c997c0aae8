/** The environment of this process: nothing else reads it. */
export function readEnvironment(): Readonly<Record<string, string | undefined>> {
  return process.env
}
